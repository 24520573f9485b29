"""A process in the jail can do what a notebook needs and harm nothing."""

import errno
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from ssl3d_lite.course import jail

LACKING = jail.missing_confinement()
CONFINED = pytest.mark.skipif(bool(LACKING), reason=LACKING or "-")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def prison(tmp_path):
    """Run code in a jail; returns (exit code, output, errors). Its working folder is scratch/."""
    scratch, secret = tmp_path / "scratch", tmp_path / "course"
    scratch.mkdir()
    (secret / "data").mkdir(parents=True)
    (secret / "data/open.txt").write_text("open")
    (secret / "data/solved").mkdir()
    (secret / "data/solved/secret.txt").write_text("secret")
    (secret / "secret.txt").write_text("secret")

    def run(code, **limits):
        rules = jail.rules_for(
            scratch, [secret / "data"], [secret / "data/solved"], jail.JailLimits(**limits)
        )
        argv = jail.jailed_command(rules, [sys.executable, "-c", code])
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(argv, cwd=scratch, env=env, capture_output=True, text=True)
        return done.returncode, done.stdout.strip(), done.stderr.strip()

    run.folder = tmp_path
    return run


@CONFINED
def test_what_a_notebook_needs_is_allowed(prison):
    code = """
import threading, os, ssl3d_lite.tasks.geometry, tempfile
os.makedirs("runs/a"); open("runs/a/b", "w").write("x"); os.rename("runs/a/b", "runs/c")
print(open("runs/c").read(), open("../course/data/open.txt").read(), flush=True)
t = threading.Thread(target=print, args=["thread"]); t.start(); t.join()
open(os.devnull, "w").write("x"); os.kill(os.getpid(), 0); os.urandom(1)
"""
    assert prison(code) == (0, "x open\nthread", "")


@CONFINED
@pytest.mark.parametrize(
    "code",
    [
        'open("../outside", "w")',
        'open("/tmp/ssl3d-outside", "w")',
        'import os; os.mkdir("../outside")',
        'import os; os.remove("../course/secret.txt")',
        'import os; os.rename("../course/secret.txt", "mine")',
        'import os; os.link("../course/secret.txt", "mine")',
        'import os; os.symlink("../course/secret.txt", "mine"); open("mine").read()',
        'open("../course/secret.txt").read()',
        'open("../course/data/solved/secret.txt").read()',
        'open("../course/data/open.txt", "a")',
        f'open("{ROOT}/notebooks/sync.py").read()',
        f'open("{ROOT}/tests/course/tiny.py").read()',
        'open("/etc/shadow").read()',
        'import os; open(f"/proc/{os.getppid()}/environ").read()',
        'import os; open(f"/proc/{os.getppid()}/mem", "rb").read()',
        "import os; os.fork()",
        'import subprocess; subprocess.run(["true"])',
        'import os; os.posix_spawn("/bin/true", ["true"], {})',
        "import os; os.kill(os.getppid(), 0)",
        "import os; os.kill(-1, 0)",
        "import os; os.killpg(os.getpgid(os.getppid()), 0)",
        'import os; os.memfd_create("x")',
        "import resource, os; resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0))",
    ],
)
def test_what_could_harm_is_refused(prison, code):
    left, _, error = prison(code)
    assert left == 1
    assert "PermissionError" in error or "Invalid cross-device link" in error
    assert not (prison.folder / "outside").exists()
    assert (prison.folder / "course/secret.txt").read_text() == "secret"


@CONFINED
@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET"])
def test_no_network(prison, family):
    left, _, error = prison(f"import socket; socket.socket(socket.{family}, socket.SOCK_RAW)")
    assert left == 1
    assert "Operation not supported" in error


@CONFINED
def test_the_same_code_outside_the_jail_is_not_refused(tmp_path):
    """So that the tests above test the jail, not the code."""
    code = (
        "import os, socket, resource; os.kill(os.getppid(), 0); socket.socket();"
        "open('../outside', 'w'); os.memfd_create('x')\n"
        "if os.fork() == 0: os._exit(0)"
    )
    (tmp_path / "scratch").mkdir()
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "scratch", check=True)
    assert (tmp_path / "outside").exists()


@CONFINED
def test_limits_of_the_system(prison):
    assert "MemoryError" in prison("bytearray(6 * 2**30)", memory_gb=1)[2]
    assert prison("bytearray(2**30)", memory_gb=1)[0] == 0  # that is the watcher's
    writes = 'f = open("x", "wb")\nfor _ in range(9): f.write(bytes(2**20))'
    assert "File too large" in prison(writes, file_gb=4 / 1024)[2]
    assert prison(writes, file_gb=16 / 1024)[0] == 0
    raised = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))"
    assert prison(raised)[0] == 1


@CONFINED
def test_without_confinement_only_limits_hold(tmp_path):
    rules = jail.rules_for(tmp_path, confine=False)
    code = "import os, resource; os.kill(os.getppid(), 0); print(resource.getrlimit(4)[0])"
    argv = jail.jailed_command(rules, [sys.executable, "-c", code])
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"  # no core files


def test_nothing_in_the_working_folder_is_imported_on_the_way(tmp_path):
    (tmp_path / "ssl3d_lite").mkdir()
    (tmp_path / "ssl3d_lite/__init__.py").write_text("raise SystemExit('taken in')")
    (tmp_path / "json.py").write_text("raise SystemExit('taken in')")
    rules = jail.rules_for(tmp_path, confine=not jail.missing_confinement())
    argv = jail.jailed_command(rules, [sys.executable, "-P", "-c", "print('well')"])
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout == "well\n", done.stderr


def test_a_forbidden_folder_within_an_allowed_one_leaves_what_lies_beside_it(tmp_path):
    for name in ("a/b/secret", "a/b/open", "a/c", "d"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a/link").symlink_to(tmp_path / "a/b/secret")
    found = jail.allowed_parts(str(tmp_path), [str(tmp_path / "a/b/secret")])
    assert found == [str(tmp_path / name) for name in ("a/b/open", "a/c", "d")]
    assert jail.allowed_parts(str(tmp_path / "a/b/secret"), [str(tmp_path / "a/b")]) == []
    assert jail.allowed_parts(str(tmp_path), ["/nowhere"]) == [str(tmp_path)]


def test_sources_are_hidden_wherever_an_installation_put_them(tmp_path, monkeypatch):
    place = tmp_path / "site-packages/ssl3d_lite/course/assignments"
    place.mkdir(parents=True)
    assert str(place) not in jail.rules_for(tmp_path).deny
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    rules = jail.rules_for(tmp_path)
    assert str(place) in rules.deny
    assert str(tmp_path / "site-packages") in rules.read


# ---- the filter of system calls, played through ------------------------------------------------


def verdict(program, number, arguments, architecture):
    """What a filter answers to a call, as Linux would work it out."""
    given = [each & (2**64 - 1) for each in (*arguments, 0, 0, 0)[:3]]
    shown = struct.pack("iIQQQQ", number, architecture, 0, *given)
    place, value = 0, 0
    while True:
        operation, yes, no, k = program[place]
        place += 1
        if operation == jail.LOAD:
            value = struct.unpack_from("I", shown, k)[0]
        elif operation == jail.AND:
            value &= k
        elif operation == jail.RETURN:
            return k
        else:
            true = {
                jail.EQUAL: value == k,
                jail.ATLEAST: value >= k,
                jail.HASBITS: bool(value & k),
            }[operation]
            place += yes if true else no


@pytest.mark.parametrize("machine", sorted(jail.SYSCALLS))
def test_the_filter_on_every_machine(machine):
    numbers, pid = jail.SYSCALLS[machine], 4321
    program = jail.seccomp_filter(numbers, pid)

    def answer(number, *arguments, architecture=numbers["audit"]):
        return verdict(program, number, arguments, architecture)

    def allowed(number, *arguments, **other):
        return answer(number, *arguments, **other) == jail.ALLOW

    assert not any(allowed(numbers[name]) for name in jail.NEVER if name in numbers)
    for name in jail.PRETENDED:
        assert name not in numbers or answer(numbers[name]) == jail.ERROR  # without a number: 0
    assert answer(numbers["clone3"]) == answer(numbers["openat2"]) == jail.ERROR | errno.ENOSYS
    assert allowed(numbers["clone"], jail.CLONE_THREAD | 0x100)
    assert not allowed(numbers["clone"], 0x1200011)  # what fork asks of clone
    assert not allowed(numbers["socket"], jail.AF_UNIX)
    assert allowed(numbers["socketpair"], jail.AF_UNIX, jail.SOCK_STREAM | 0x80000)
    assert not allowed(numbers["socketpair"], jail.AF_UNIX, 2)  # datagrams find other sockets
    assert not allowed(numbers["socketpair"], 2, jail.SOCK_STREAM)
    for name in jail.OWN:
        assert allowed(numbers[name], pid)
        assert allowed(numbers[name], 0)
        assert not allowed(numbers[name], pid + 1)
        assert not allowed(numbers[name], -1)
    for name, values in jail.REFUSED.items():
        assert allowed(numbers[name], 3, 1)
        assert not any(allowed(numbers[name], 3, value) for value in values)
    for flags in (0, 1, 2, 0x201, 0x202, 0x241, 0x80000):
        assert allowed(numbers["openat"], -100, 0, flags)
    for flags in (0x200, 0x203, 0x80200):  # a reader that truncates
        assert not allowed(numbers["openat"], -100, 0, flags)
    named = set(numbers.values())
    assert all(allowed(number) for number in range(470) if number not in named)
    assert not allowed(0, architecture=0x40000003)  # 32-bit calls are numbered otherwise
    assert not allowed(jail.X32 | 1)
    assert len(program) < 4096  # Linux takes no longer ones


def test_every_name_has_a_number_where_the_kernel_has_the_call():
    names = {*jail.NEVER, *jail.PRETENDED, *jail.OWN, *jail.REFUSED}
    old = {"fork", "vfork", "chmod", "chown", "lchown", "utime", "utimes", "futimesat"}
    assert names <= jail.SYSCALLS["x86_64"].keys()
    assert names - old <= jail.SYSCALLS["aarch64"].keys()


# ---- the user's things -------------------------------------------------------------------------

FILE = "../course/data/open.txt"
TRIES = {
    "modes": f"""
for what in (lambda: os.chmod("{FILE}", 0o777), lambda: os.chmod("../course", 0o777),
             lambda: os.fchmod(os.open("{FILE}", os.O_RDONLY), 0o777),
             lambda: os.chmod("/proc/self/fd/%d" % os.open("{FILE}", os.O_PATH), 0o777)):
    attempt(what)""",
    "owners": f"""
for ids in ((12345, 12345), (-1, 12345), (os.getuid(), -1)):
    attempt(lambda: os.chown("{FILE}", *ids))
    attempt(lambda: os.fchown(os.open("{FILE}", os.O_RDONLY), *ids))""",
    "dates": f'attempt(lambda: os.utime("{FILE}", (0, 0)))\nattempt(lambda: os.utime("../course"))',
    "attributes": f"""
attempt(lambda: os.setxattr("{FILE}", "user.left", b"here"))
attempt(lambda: os.setxattr(os.open("{FILE}", os.O_RDONLY), "user.left", b"here"))""",
    "length": f"""
attempt(lambda: os.truncate("{FILE}", 0))
attempt(lambda: os.open("{FILE}", os.O_RDONLY | os.O_TRUNC))""",
}


def state_of(path):
    found = path.lstat()
    names = ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_ctime_ns")
    return [getattr(found, name) for name in names]


@CONFINED
@pytest.mark.parametrize("what", TRIES)
def test_files_of_the_user_stay_as_they_are(prison, what):
    folder = prison.folder / "course"
    before = [state_of(path) for path in (folder, folder / "data", folder / "data/open.txt")]
    code = "import os\n\ndef attempt(what):\n    try: what()\n    except OSError: pass\n\n"
    assert prison(code + TRIES[what] + "\nprint('tried')") == (0, "tried", "")
    after = [state_of(path) for path in (folder, folder / "data", folder / "data/open.txt")]
    assert after == before


@CONFINED
def test_no_socket_of_the_users_is_reached(prison):
    place = str(prison.folder / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(place)
        listening.listen()
        code = f"""
import socket
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
    try: socket.socket(socket.AF_UNIX, kind)
    except OSError as refused: print(refused.errno)
    try: socket.socketpair(socket.AF_UNIX, kind)[0].sendto(b"x", {place!r})
    except OSError as refused: print(refused.errno)
a, b = socket.socketpair(); a.send(b"own"); print(b.recv(9))
"""
        left, said, _ = prison(code)
        assert left == 0
        none, joined = errno.EOPNOTSUPP, errno.EISCONN
        assert said.split("\n") == [str(n) for n in (none, joined, *[none] * 4)] + ["b'own'"]
        listening.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listening.accept()


@CONFINED
def test_nothing_is_left_for_the_next_and_the_grader_is_not_rescheduled(prison):
    key = 0x5D000000 + os.getpid()
    code = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print([libc.msgget({key}, 0o1666), libc.semget({key}, 1, 0o1666), libc.shmget({key}, 1, 0o1666)])
for what in (lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
             lambda: os.setpriority(os.PRIO_USER, 0, 19),
             lambda: os.sched_setaffinity(os.getppid(), {{0}}),
             lambda: os.sched_setscheduler(os.getppid(), os.SCHED_IDLE, os.sched_param(0))):
    try: what()
    except PermissionError: print("refused")
"""
    before = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0), os.sched_getscheduler(0)
    assert prison(code) == (0, "[-1, -1, -1]" + "\nrefused" * 4, "")
    after = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0), os.sched_getscheduler(0)
    assert after == before


@CONFINED
def test_own_files_are_copied_as_usual(prison):
    code = (
        'import shutil; open("a", "w").write("x"); shutil.copy2("a", "b"); print(open("b").read())'
    )
    assert prison(code) == (0, "x", "")
