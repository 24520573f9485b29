"""Commands that are stopped at random moments, by Ctrl-C and by kill -9.

By Ctrl-C each ends within three seconds, with one line, no traceback, and nobody left behind.
Killed as often as one likes, the same command ends with the files of one that was left in peace.
``SSL3D_STOPS=200`` sets how often, over all commands.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil
import pytest

from ssl3d_lite.outputs import LOCK, MARK

ROOT = Path(__file__).parents[1]
STOPS = int(os.environ.get("SSL3D_STOPS", 12))  # over all commands
SECONDS = 3.0  # that an end may take
STUDY = """
title = "Stopped"
cohort = {}
arms = ["masked", "scratch"]
labels = ["2"]
seeds = 1
protocols = ["finetune", "probe"]
encoder = { filters = [4, 8] }
pretrain = { steps = 60 }
finetune = { steps = 60 }
probe = { draws = 1, voxels = 100 }
"""
TINY = ("--filters", "4", "8", "--device", "cpu")
FIT = ("--steps", "150", "--checkpoint-every", "10", "--batch", "2")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200 if STOPS < 50 else 7200)]


@dataclass
class Command:
    """What is run: {in} is the folder of what it needs, {out} of what it makes."""

    words: str
    more: tuple[str, ...] = ()
    results: tuple[str, ...] = ()  # patterns of the files that are the same each time
    seconds: list[float] = field(default_factory=list)  # that it took, left in peace

    def arguments(self, given: Path, out: Path) -> list[str]:
        words = self.words.replace("{in}", str(given)).replace("{out}", str(out))
        return [sys.executable, "-m", "ssl3d_lite.cli", *words.split(), *self.more]


COHORT = "--cohort {in}/cohort"
COMMANDS = {
    "prepare": Command(
        "prepare folder --raw {in}/raw --labels {in}/maps --workers 2 --out {out}/c",
        ("--spacing", "1", "1", "1"),
        ("c/cohort.json", "c/images/*.npy", "c/labels/*.npy"),
    ),
    "pretrain": Command(
        f"pretrain {COHORT} --task masked --out {{out}}/e",
        (*FIT, *TINY),
        ("e/encoder.safetensors", "e/history.csv", "e/settings.json"),
    ),
    "finetune": Command(
        f"finetune {COHORT} --encoder random --out {{out}}/m",
        (*FIT, *TINY),
        ("m/network.safetensors", "m/history.csv", "m/scores.csv"),
    ),
    "study": Command(
        f"study {{in}}/study.toml {COHORT} --out {{out}}/s --device cpu",
        ("--launcher", "local", "--jobs", "2"),
        ("s/results.csv",),
    ),
    "predict": Command(
        f"predict --model {{in}}/model {COHORT} --cases all --device cpu --out {{out}}/p",
        (),
        ("p/*.nii.gz",),
    ),
    "verify": Command("verify {in}/cohort --workers 2"),
    "show": Command("show {in}/cohort --out {out}/page.html", (), ("page.html",)),
}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Raw scans, a cohort and a network for the commands."""
    folder = tmp_path_factory.mktemp("given")
    random = np.random.default_rng(0)
    for number in range(40):
        label = np.zeros((16, 16, 16), np.uint8)
        x, y, z = random.integers(2, 8, 3)
        label[x : x + 6, y : y + 6, z : z + 6] = 1
        scan = (100 * label + random.normal(0, 10, label.shape)).astype(np.float32)
        for kind, values in (("raw", scan), ("maps", label)):
            (folder / kind).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(values, np.eye(4)), folder / kind / f"p{number:02d}.nii")
    (folder / "study.toml").write_text(STUDY)
    prepare = "prepare folder --raw {in}/raw --labels {in}/maps --workers 1 --out {out}/cohort"
    train = f"finetune {COHORT} --encoder random --out {{out}}/model --steps 10"
    for command in (Command(prepare), Command(train, TINY)):
        subprocess.run(command.arguments(folder, folder), check=True, capture_output=True)
    return folder


def start(command: Command, given: Path, out: Path) -> subprocess.Popen:
    out.mkdir(exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with open(out / "said", "w") as said:
        return subprocess.Popen(
            command.arguments(given, out),
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def members(session: int) -> list[psutil.Process]:
    """The processes that a command has left, zombies aside."""
    found = []
    for process in psutil.process_iter():
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and os.getsid(process.pid) == session:
                found.append(process)
        except (psutil.Error, ProcessLookupError):
            continue
    return found


def left_after(session: int, seconds: float = 3.0) -> list[psutil.Process]:
    """As ``members``, a little later: a worker needs a moment to see that its parent is gone."""
    end = time.monotonic() + seconds
    while (left := members(session)) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def files(command: Command, out: Path) -> dict[str, str]:
    """Checksums of what a command makes; seconds and machine in a table of results aside."""
    found = {}
    for pattern in command.results:
        for path in sorted(out.glob(pattern)):
            data = path.read_bytes()
            if path.name == "results.csv":
                data = json.dumps(sorted(map(scores, data.decode().splitlines()))).encode()
            found[str(path.relative_to(out))] = hashlib.sha256(data).hexdigest()
    return found


def scores(line: str) -> list[str]:
    """A row's cells but for the last four: seconds, machine, version; and quotes in between."""
    return line.split(",")[:16]


@pytest.fixture(scope="module")
def whole(given, tmp_path_factory):
    """What each command makes if it is left in peace."""
    made = {}
    for name, command in COMMANDS.items():
        out, begin = tmp_path_factory.mktemp(name), time.monotonic()
        assert start(command, given, out).wait(600) == 0, (out / "said").read_text()
        command.seconds.append(time.monotonic() - begin)
        made[name] = files(command, out)
        assert len(made[name]) >= len(command.results), name
    return made


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_ends_it_at_once_with_one_line(name, given, whole, tmp_path):
    command, random, stopped = COMMANDS[name], np.random.default_rng(len(name)), []
    wanted, longest = max(2, STOPS // len(COMMANDS)), command.seconds[0]
    for number in range(5 * wanted):
        if len(stopped) == wanted:
            break
        out, after = tmp_path / str(number), random.uniform(0.1, 0.95 * longest)
        process = start(command, given, out)
        time.sleep(after)
        if process.poll() is not None:  # the machine has less to do than when it was timed
            longest = after
            continue
        begin = time.monotonic()
        if number % 3:  # as a terminal does
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT)
        try:
            code = process.wait(30)
        except subprocess.TimeoutExpired:
            code = None
        taken = time.monotonic() - begin
        left = left_after(process.pid)
        lines = [line for line in (out / "said").read_text().splitlines() if line.strip()]
        said = [line for line in lines if "%|" not in line]
        for one in left:
            one.kill()
        process.wait()
        if (code, said, files(command, out)) == (0, [], whole[name]):
            continue  # it was through, and Python was clearing up
        stopped.append((round(taken, 1), code, len(left), said))
    assert stopped
    print(f"\n{name}: {len(stopped)} times, at most {max(t for t, *_ in stopped)} s")
    line = "ssl3d: stopped; what was finished is kept: run the same command again"
    wrong = [s for s in stopped if s[0] > SECONDS or s[1:] != (130, 0, [line])]
    assert not wrong, wrong


@pytest.mark.parametrize("name", [name for name in COMMANDS if COMMANDS[name].results])
def test_killed_it_ends_with_the_same_files(name, given, whole, tmp_path):
    command, random, kills = COMMANDS[name], np.random.default_rng(len(name)), 0
    wanted, longest = max(2, STOPS // (len(COMMANDS) - 1)), command.seconds[0]
    for number in range(5 * wanted):
        if kills >= wanted:
            break
        out = tmp_path / str(number)
        for turn in range(3):  # one after another, on the way to one result
            process, after = start(command, given, out), random.uniform(0.3, 0.9) * longest
            time.sleep(after)
            if process.poll() is None:
                kills += 1
            elif turn == 0:  # the machine has less to do than when it was timed
                longest = after
            if random.random() < 0.5:
                process.kill()
            else:
                with_workers(process)
            process.wait()
        process = start(command, given, out)
        assert process.wait(600) == 0, (out / "said").read_text()
        left_after(process.pid)
        assert files(command, out) == whole[name]
        hidden = {p.name for p in out.rglob(".*") if p.is_file() and not p.name.startswith(".venv")}
        assert hidden <= {MARK, LOCK, ".ssl3d.sha256"}, hidden
    assert kills
    print(f"\n{name}: {kills} kills")


def with_workers(process: subprocess.Popen) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
