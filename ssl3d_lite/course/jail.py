"""A process that can do no harm. A student's kernel that is started through this module may

- write below one folder (its scratch) and nowhere else,
- read Python, its packages and the system's libraries, the course's data, and nothing else,
- start no other process, open no network connection, signal no other process,
- use limited processor time, address space and size of a file (``watcher`` limits the rest).

Linux does this with Landlock (5.13 and later) and seccomp (x86-64, aarch64), for any user, no
rights needed. ``python -m ssl3d_lite.course.jail JSON -- COMMAND`` gives its rights up, then
becomes COMMAND, which cannot get them back. Nothing heavy is imported here.

Why no library does it. bubblewrap is a program of the system that needs user namespaces, which many
servers and containers forbid, or a setuid binary, which only an administrator can install.
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

# Numbers of system calls, which differ between kinds of processors.
SYSCALLS = {
    "x86_64": {
        "audit": 0xC000003E,
        "socket": 41,
        "clone": 56,
        "clone3": 435,
        "own": {"kill": 62, "tgkill": 234, "prlimit64": 302},
        "never": {
            **{"fork": 57, "vfork": 58, "ptrace": 101, "tkill": 200, "rt_sigqueueinfo": 129},
            **{"rt_tgsigqueueinfo": 297, "pidfd_send_signal": 424, "pidfd_getfd": 438},
            **{"io_uring_setup": 425, "memfd_create": 319, "memfd_secret": 447, "shmget": 29},
            **{"mq_open": 240, "add_key": 248, "request_key": 249, "keyctl": 250, "bpf": 321},
            **{"mount": 165, "unshare": 272, "setns": 308, "perf_event_open": 298},
            **{"userfaultfd": 323, "process_vm_readv": 310, "process_vm_writev": 311},
        },
    },
    "aarch64": {
        "audit": 0xC00000B7,
        "socket": 198,
        "clone": 220,
        "clone3": 435,
        "own": {"kill": 129, "tgkill": 131, "prlimit64": 261},
        "never": {
            **{"ptrace": 117, "tkill": 130, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240},
            **{"pidfd_send_signal": 424, "pidfd_getfd": 438, "io_uring_setup": 425},
            **{"memfd_create": 279, "memfd_secret": 447, "shmget": 194, "mq_open": 180},
            **{"add_key": 217, "request_key": 218, "keyctl": 219, "bpf": 280, "mount": 40},
            **{"unshare": 97, "setns": 268, "perf_event_open": 241, "userfaultfd": 282},
            **{"process_vm_readv": 270, "process_vm_writev": 271},
        },
    },
}
CLONE_THREAD, AF_UNIX, X32 = 0x10000, 1, 0x40000000
LOAD, EQUAL, ATLEAST, HASBITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, ERROR = 0x7FFF0000, 0x00050000
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in the record that a filter reads


def seccomp_filter(numbers: dict, pid: int) -> list[tuple[int, int, int, int]]:
    """A BPF program: lines of (operation, jump if true, jump if false, value).

    It allows threads but no new process, local sockets but no others, and signals and limits for
    the own process (``pid``) only.

    Args:
        numbers: system calls of this kind of processor, from SYSCALLS.
        pid: the process that will run under the filter.
    """
    refuse = (RETURN, 0, 0, ERROR | errno.EPERM)
    allow = (RETURN, 0, 0, ALLOW)
    argument = (LOAD, 0, 0, FIRST_ARGUMENT)
    program = [
        (LOAD, 0, 0, ARCHITECTURE),
        *((EQUAL, 1, 0, numbers["audit"]), refuse),
        (LOAD, 0, 0, NUMBER),
        *((ATLEAST, 0, 1, X32), refuse),
    ]
    for number in numbers["never"].values():
        program += [(EQUAL, 0, 1, number), refuse]
    # on ENOSYS libraries fall back to clone, whose flags a filter can see
    program += [(EQUAL, 0, 1, numbers["clone3"]), (RETURN, 0, 0, ERROR | errno.ENOSYS)]
    thread, local = (HASBITS, 1, 0, CLONE_THREAD), (EQUAL, 1, 0, AF_UNIX)
    program += [(EQUAL, 0, 4, numbers["clone"]), argument, thread, refuse, allow]
    # zmq, through which kernels communicate, looks for networks: it accepts this error
    none = (RETURN, 0, 0, ERROR | errno.EOPNOTSUPP)
    program += [(EQUAL, 0, 4, numbers["socket"]), argument, local, none, allow]
    for number in numbers["own"].values():
        own = [argument, (EQUAL, 2, 0, pid), (EQUAL, 1, 0, 0), refuse, allow]
        program += [(EQUAL, 0, 5, number), *own]
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
