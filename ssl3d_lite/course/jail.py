"""A process that can do no harm. A student's process that is started through this module may

- write below one folder (its scratch) and nowhere else, and change no file's mode, date or owner,
- read Python, its packages and the system's libraries, the course's data, and nothing else,
- start no other process, open no socket and no queue, signal and schedule no other process,
- use limited processor time, address space and size of a file (``watcher`` limits the rest).

Linux does this with Landlock (5.13 and later) and seccomp (x86-64, aarch64), for any user, no
rights needed. ``python -m ssl3d_lite.course.jail JSON -- COMMAND`` gives its rights up, then
becomes COMMAND, which cannot get them back. Nothing heavy is imported here.

Why no library does it. bubblewrap is a program of the system that needs user namespaces, which many
servers and containers forbid, or a setuid binary, which only an administrator can install; and
what it would add, a view without other processes, queues and sockets, the filter refuses anyway.
pyseccomp wraps libseccomp's C library, which pip does not install. The package landlock is an alpha
version that restricts files only: neither TCP nor signals. What is left to do here is small: four
system calls, and a table of their numbers. So a course server needs nothing but ``pip install``.
"""

import ctypes
import errno
import importlib.util
import json
import os
import platform
import signal
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

GB = 2**30
_MODULE = "ssl3d_lite.course.jail"


@dataclass(frozen=True)
class JailLimits:
    """Limits that the system itself enforces."""

    seconds: float = 300
    """Seconds on two processors, after which the system ends the process."""
    memory_gb: float = 4
    """Resident memory, watched; the system itself allows 4 GB more of address space with data."""
    file_gb: float = 0.5
    """Largest size of a file, in GB."""


@dataclass(frozen=True)
class JailRules:
    """All that a process in the jail may do."""

    scratch: str
    """The folder that can be written."""
    read: tuple[str, ...]
    """Paths that can be read, with all below them; missing paths are left out."""
    names: tuple[str, ...] = ()
    """Folders whose names can be listed, but whose files cannot be read: Python searches them."""
    deny: tuple[str, ...] = ()
    """Paths that cannot be read although they lie below something that can."""
    limits: JailLimits = JailLimits()
    confine: bool = True
    """False: limits only (a lecturer trusts the submissions, on a system without Landlock)."""


def rules_for(
    scratch: Path,
    also: Iterable[Path] = (),
    deny: Iterable[Path] = (),
    limits: JailLimits | None = None,
    confine: bool = True,
) -> JailRules:
    """Rules for a Python process with this package: ``also`` can be read, ``deny`` cannot. The
    assignments' sources, where they lie within the package, never can."""
    read = [*system_files(), *map(str, also)]
    hidden = [*packaged_sources(), *(str(Path(path).resolve()) for path in deny)]
    return JailRules(
        os.path.realpath(scratch),
        tuple(read),
        tuple(str(Path(path).parent) for path in our_packages()),
        tuple(hidden),
        limits or JailLimits(),
        confine,
    )


def jailed_command(rules: JailRules, argv: Sequence[str]) -> list[str]:
    """``argv`` within the jail. ``-P``: nothing in the working directory is imported on the way."""
    return [sys.executable, "-P", "-m", _MODULE, json.dumps(asdict(rules)), "--", *argv]


def missing_confinement() -> str:
    """The feature that this system lacks to confine a submission; empty if it lacks none."""
    if sys.platform != "linux":
        return f"{platform.system()} has no Landlock"
    if landlock_version() < 1:
        return f"Landlock is not available (Linux {platform.release()}; 5.13 or later, switched on)"
    if platform.machine() not in SYSCALLS:
        return f"no seccomp filter for {platform.machine()}"
    return ""


def system_files() -> list[str]:
    """Paths of Python, its packages and the system's libraries."""
    site = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    etc = (
        *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "passwd", "group", "hosts"),
        *("nsswitch.conf", "fonts", "mime.types", "alternatives", "python3", "os-release"),
    )
    return [
        *(sys.prefix, sys.base_prefix, sys.exec_prefix, *site, *our_packages()),
        *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/proc", "/sys/devices/system"),
        *("/sys/fs/cgroup", "/sys/class/net", "/dev/zero", "/dev/random", "/dev/urandom"),
        *(f"/etc/{name}" for name in etc),
    ]


def packaged_sources() -> list[str]:
    """Folders of the assignments' sources, with solutions, wherever an installation put them; an
    installation for development has a second copy."""
    homes = (*our_packages(), *(os.path.join(place, "ssl3d_lite") for place in sys.path))
    places = (os.path.join(home, "course", "assignments") for home in homes)
    return sorted({os.path.realpath(place) for place in places if os.path.isdir(place)})


def our_packages() -> list[str]:
    """Folders of our packages, without the repository that they may lie in."""
    specs = map(importlib.util.find_spec, ("ssl3d_lite", "data_recipes"))
    return [place for spec in specs if spec for place in spec.submodule_search_locations or ()]


# ---- entering ----------------------------------------------------------------------------------


def enter_jail(rules: JailRules) -> None:
    """Give up rights, for this process and whatever it becomes.

    Raises:
        OSError: the system refused; the process must not go on.
    """
    set_limits(rules.limits)
    if sys.platform == "linux":  # the process does not outlive the grader, however that ends
        _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if not rules.confine:
        return
    drop_capabilities()
    _call("prctl", _libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    restrict_files(rules)
    restrict_calls()


def drop_capabilities() -> None:
    """Drop what makes root more than any user: with capabilities, Linux lets a process read the
    memory of others in spite of Landlock. An ordinary user has nothing to drop."""
    for capability in range(64):
        _libc().prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def set_limits(limits: JailLimits) -> None:
    """Set the system's own limits, the last resort behind the watcher's."""
    import resource

    processor = int(limits.seconds * 2) + 30
    wanted = {
        "RLIMIT_CPU": processor,
        "RLIMIT_DATA": int((limits.memory_gb + 4) * GB),
        "RLIMIT_FSIZE": int(limits.file_gb * GB),
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 1024,
    }
    for name, most in wanted.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


# ---- files: Landlock ---------------------------------------------------------------------------

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 38, 22, 24
_EXECUTE, _WRITE, _READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_DEVICES = 1 << 6 | 1 << 11
_TRUNCATE = 1 << 14
_FILE_RIGHTS = _EXECUTE | _WRITE | _READ | _TRUNCATE | 1 << 15


def landlock_version() -> int:
    """Version of Landlock's interface; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, _libc().syscall(CREATE_RULESET, None, 0, 1))


def restrict_files(rules: JailRules) -> None:
    """Landlock: forbid everything that is not allowed here. From version 4 on this includes TCP,
    from version 6 on signals to others and abstract sockets."""
    version = landlock_version()
    handled = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    attributes = struct.pack("QQQ", handled, 0b11, 0b11)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _call("Landlock", _libc().syscall(CREATE_RULESET, attributes, size, 0))
    allow = _Allow(ruleset, handled)
    for path in (*rules.names, *rules.read):
        allow(path, _LIST)
    for path in rules.read:
        for part in allowed_parts(path, rules.deny):
            allow(part, _READ | _EXECUTE | _LIST)
    allow("/dev/null", _READ | _WRITE | _TRUNCATE)
    allow(rules.scratch, handled & ~(_MAKE_DEVICES | _EXECUTE))
    _call("Landlock", _libc().syscall(RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


class _Allow:
    def __init__(self, ruleset: int, handled: int) -> None:
        self.ruleset, self.handled = ruleset, handled

    def __call__(self, path: str, rights: int) -> None:
        """Allow ``rights`` below ``path``, if it is there."""
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        rights &= self.handled if os.path.isdir(path) else self.handled & _FILE_RIGHTS
        if rights:
            rule = struct.pack("=Qi", rights, place)
            _call("Landlock", _libc().syscall(ADD_RULE, self.ruleset, 1, rule, 0))
        os.close(place)


def allowed_parts(path: str, deny: Sequence[str]) -> list[str]:
    """``path`` without ``deny``: the path itself, or, where something denied lies within, all that
    lies beside that. Landlock adds rights and cannot take any away."""
    path = os.path.realpath(path)
    deny = [os.path.realpath(each) for each in deny]
    if any(path == each or path.startswith(each + os.sep) for each in deny):
        return []
    inner = [each for each in deny if each.startswith(path + os.sep)]
    if not inner:
        return [path]
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return []
    # links are not followed: their targets are allowed, if at all, by their own paths
    below = [os.path.join(path, name) for name in names]
    return [part for p in below if not os.path.islink(p) for part in allowed_parts(p, inner)]


# ---- system calls: seccomp ---------------------------------------------------------------------

# Numbers of system calls, which differ between kinds of processors; a call that a kind lacks is not
# there. From 424 on the numbers are the same everywhere.
_EVERYWHERE = {
    **{"pidfd_send_signal": 424, "io_uring_setup": 425, "clone3": 435, "openat2": 437},
    **{"pidfd_getfd": 438, "process_madvise": 440, "memfd_secret": 447, "fchmodat2": 452},
    **{"setxattrat": 463, "removexattrat": 466},
}
SYSCALLS = {
    "x86_64": {
        **_EVERYWHERE,
        **{"audit": 0xC000003E, "open": 2, "openat": 257, "fcntl": 72, "ioctl": 16},
        **{"socket": 41, "socketpair": 53, "connect": 42, "bind": 49, "listen": 50},
        **{"clone": 56, "fork": 57, "vfork": 58, "ptrace": 101, "kill": 62, "tkill": 200},
        **{"tgkill": 234, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "prlimit64": 302},
        **{"memfd_create": 319, "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64},
        **{"semop": 65, "semctl": 66, "semtimedop": 220, "msgget": 68, "msgsnd": 69},
        **{"msgrcv": 70, "msgctl": 71, "mq_open": 240, "mq_unlink": 241, "add_key": 248},
        **{"request_key": 249, "keyctl": 250, "bpf": 321, "mount": 165, "unshare": 272},
        **{"setns": 308, "perf_event_open": 298, "userfaultfd": 323, "process_vm_readv": 310},
        **{"process_vm_writev": 311, "migrate_pages": 256, "move_pages": 279, "chmod": 90},
        **{"fchmod": 91, "fchmodat": 268, "chown": 92, "fchown": 93, "lchown": 94},
        **{"fchownat": 260, "utime": 132, "utimes": 235, "futimesat": 261, "utimensat": 280},
        **{"setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197},
        **{"lremovexattr": 198, "fremovexattr": 199, "truncate": 76, "setpriority": 141},
        **{"sched_setparam": 142, "sched_setscheduler": 144, "sched_setattr": 314},
        **{"sched_setaffinity": 203, "ioprio_set": 251},
    },
    "aarch64": {
        **_EVERYWHERE,
        **{"audit": 0xC00000B7, "openat": 56, "fcntl": 25, "ioctl": 29},
        **{"socket": 198, "socketpair": 199, "connect": 203, "bind": 200, "listen": 201},
        **{"clone": 220, "ptrace": 117, "kill": 129, "tkill": 130, "tgkill": 131},
        **{"rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "prlimit64": 261},
        **{"memfd_create": 279, "shmget": 194, "shmat": 196, "shmctl": 195, "semget": 190},
        **{"semop": 193, "semctl": 191, "semtimedop": 192, "msgget": 186, "msgsnd": 189},
        **{"msgrcv": 188, "msgctl": 187, "mq_open": 180, "mq_unlink": 181, "add_key": 217},
        **{"request_key": 218, "keyctl": 219, "bpf": 280, "mount": 40, "unshare": 97},
        **{"setns": 268, "perf_event_open": 241, "userfaultfd": 282, "process_vm_readv": 270},
        **{"process_vm_writev": 271, "migrate_pages": 238, "move_pages": 239, "fchmod": 52},
        **{"fchmodat": 53, "fchown": 55, "fchownat": 54, "utimensat": 88, "setxattr": 5},
        **{"lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15},
        **{"fremovexattr": 16, "truncate": 45, "setpriority": 140, "sched_setparam": 118},
        **{"sched_setscheduler": 119, "sched_setattr": 274, "sched_setaffinity": 122},
        **{"ioprio_set": 30},
    },
}
NEVER = (
    *("fork", "vfork", "ptrace", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"),
    *("pidfd_send_signal", "pidfd_getfd", "io_uring_setup", "memfd_create", "memfd_secret"),
    *("shmget", "shmat", "shmctl", "semget", "semop", "semctl", "semtimedop"),
    *("msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink", "add_key", "request_key"),
    *("keyctl", "bpf", "mount", "unshare", "setns", "perf_event_open", "userfaultfd"),
    *("process_vm_readv", "process_vm_writev", "process_madvise", "migrate_pages", "move_pages"),
    *("connect", "bind", "listen", "chown", "fchown", "lchown", "fchownat", "truncate"),
    *("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"),
    *("setxattrat", "removexattrat", "setpriority", "sched_setparam", "sched_setscheduler"),
    *("sched_setattr", "ioprio_set"),
)
# These do nothing and say that all is well: copies of one's own files are made with them.
PRETENDED = (
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "utime", "utimes", "futimesat", "utimensat"),
)
OWN = ("kill", "tgkill", "prlimit64", "sched_setaffinity")  # first argument: the own process
# Signals to others by way of files, and what is typed into a terminal: by second argument.
REFUSED = {"fcntl": (8, 15), "ioctl": (0x5412, 0x541C, 0x8901, 0x8902)}
CLONE_THREAD, AF_UNIX, SOCK_STREAM, X32, O_TRUNC = 0x10000, 1, 1, 0x40000000, 0x200
LOAD, AND, EQUAL, ATLEAST, HASBITS, RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
ALLOW, ERROR = 0x7FFF0000, 0x00050000
NUMBER, ARCHITECTURE = 0, 4  # offsets in the record that a filter reads


def _argument(place: int) -> tuple[int, int, int, int]:
    return (LOAD, 0, 0, 16 + 8 * place)


def seccomp_filter(numbers: dict[str, int], pid: int) -> list[tuple[int, int, int, int]]:
    """A BPF program: lines of (operation, jump if true, jump if false, value).

    It allows threads but no new process, pairs of sockets that are connected to each other but no
    others, and signals and limits for the own process (``pid``) only. Files' modes, dates, owners
    and attributes stay: Landlock does not know them.

    Args:
        numbers: system calls of this kind of processor, from SYSCALLS.
        pid: the process that will run under the filter.
    """
    refuse, allow = (RETURN, 0, 0, ERROR | errno.EPERM), (RETURN, 0, 0, ALLOW)
    none = (RETURN, 0, 0, ERROR | errno.EOPNOTSUPP)
    absent = (RETURN, 0, 0, ERROR | errno.ENOSYS)
    program = [
        (LOAD, 0, 0, ARCHITECTURE),
        *((EQUAL, 1, 0, numbers["audit"]), refuse),
        (LOAD, 0, 0, NUMBER),
        *((ATLEAST, 0, 1, X32), refuse),
    ]

    def on(name: str, *lines: tuple[int, int, int, int]) -> None:
        if name in numbers:
            program.extend([(EQUAL, 0, len(lines), numbers[name]), *lines])

    for name in NEVER:
        on(name, refuse)
    for name in PRETENDED:
        on(name, (RETURN, 0, 0, ERROR))
    # on ENOSYS libraries fall back to clone and openat, whose flags a filter can see
    on("clone3", absent)
    on("openat2", absent)
    on("clone", _argument(0), (HASBITS, 1, 0, CLONE_THREAD), refuse, allow)
    on("socket", none)
    pair = (_argument(0), (EQUAL, 0, 3, AF_UNIX), _argument(1), (AND, 0, 0, 0xF))
    on("socketpair", *pair, (EQUAL, 1, 0, SOCK_STREAM), none, allow)
    for name in OWN:
        on(name, _argument(0), (EQUAL, 2, 0, pid), (EQUAL, 1, 0, 0), refuse, allow)
    for name, values in REFUSED.items():
        found = [(EQUAL, len(values) - n, 0, value) for n, value in enumerate(values)]
        on(name, _argument(1), *found, allow, refuse)
    for name, place in (("open", 1), ("openat", 2)):  # older Landlock lets readers truncate
        mode = ((HASBITS, 0, 3, O_TRUNC), (AND, 0, 0, 3), (EQUAL, 1, 0, 1), (EQUAL, 0, 1, 2))
        on(name, _argument(place), *mode, allow, refuse)
    return [*program, allow]


def restrict_calls() -> None:
    """seccomp: put the filter in force for this process and its children."""
    numbers = SYSCALLS[platform.machine()]
    program = seccomp_filter(numbers, os.getpid())
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(buffer))
    _call("seccomp", _libc().prctl(PR_SET_SECCOMP, 2, header, 0, 0))


# ---- the system --------------------------------------------------------------------------------


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(what: str, result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def _main(arguments: list[str]) -> None:
    given = json.loads(arguments[0])
    given["limits"] = JailLimits(**given["limits"])
    assert arguments[1] == "--", "JSON -- COMMAND"
    try:
        enter_jail(JailRules(**given))
    except OSError as reason:
        sys.exit(f"the jail could not be closed: {reason}")
    os.execv(arguments[2], arguments[2:])


if __name__ == "__main__":
    _main(sys.argv[1:])
