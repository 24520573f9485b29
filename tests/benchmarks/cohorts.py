"""How the cost of a cohort grows with its scans, from raw files to a training step.

    python tests/benchmarks/cohorts.py [--sizes 200 2000 20000] [--folder FOLDER] [--page]

Labelled scans of 24³ voxels are written once. Then, at each size:

- ``ssl3d prepare folder`` on Dask with two workers, from beginning to end;
- the same, killed twice with SIGKILL at moments drawn at random: first the command alone, then the
  command, the scheduler and both workers. The last run ends by itself, and must leave byte for byte
  what the first way left;
- opening the cohort in a new process, choosing and reading the scans of a step;
- ``ssl3d verify`` on two workers; then, as by ``nice``, on one beside a training.

Memory is the sum over the processes of a role, five times a second, at its highest. What processes
share, such as libraries, counts in each of them. Slopes are of log cost over log scans: 0 is flat,
1 is linear. ``--page`` puts the table into docs/speed.md, and the figures into docs/cohorts.json.
Do that on a machine that does nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from filecmp import cmp
from pathlib import Path
from statistics import median
from typing import Any

import nibabel as nib
import numpy as np
import psutil
from growth import costs_of_cases
from operating_characteristics import put_between
from tqdm.auto import trange

from ssl3d_lite.data.cohort import MANIFEST, Cohort
from ssl3d_lite.machine.device import machine_name
from ssl3d_lite.outputs import LOCK, MARK

sys.path.insert(0, str(Path(__file__).parents[1]))
from dask_cluster import dask_cluster

DOCS = Path(__file__).parents[2] / "docs"
SIZES = (200, 2_000, 20_000)
EDGE = 24  # voxels
WORKERS = 2
ROLES = ("command", "scheduler", "workers")
ROWS = {  # figure → its row's title; how it is written; how many of that unit are 1
    "prepare": ("prepared", "{:.0f} s", 1),
    "prepare_cpu": ("processor time of it", "{:.0f} s", 1),
    "killed": ("killed twice, all three runs", "{:.0f} s", 1),
    "command": ("memory: command", "{:.0f} MB", 1e-6),
    "scheduler": ("scheduler", "{:.0f} MB", 1e-6),
    "workers": ("both workers", "{:.0f} MB", 1e-6),
    "manifest": ("manifest", "{:.2f} MB", 1e-6),
    "open": ("open", "{:.3f} s", 1),
    "choose": ("choose a step's scans", "{:.3f} ms", 1e3),
    "read": ("read them", "{:.2f} ms", 1e3),
    "verify": ("verify", "{:.0f} s", 1),
    "beside": ("a step beside verify, of one alone", "{:.2f}", 1),
}


# ---- raw scans ---------------------------------------------------------------------------------


def write_scans(folder: Path, count: int) -> Path:
    """So many noisy balls with their label maps, NIfTI files; what is there already is kept."""
    grid = np.indices((EDGE,) * 3) - EDGE // 2
    header = nib.Nifti1Header()
    header.set_xyzt_units("mm")
    for place in ("scans", "labels"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    for number in trange(count, desc=f"write {count} scans", unit="scan"):
        name, random = f"ball_{number:05d}.nii", np.random.default_rng(number)
        if (folder / "labels" / name).exists():  # written last
            continue
        centre, radius = random.integers(-4, 5, (3, 1, 1, 1)), random.integers(4, 8)
        ball = (((grid - centre) ** 2).sum(0) < radius**2).astype(np.uint8)
        scan = (200 * ball + random.normal(300, 60, ball.shape)).astype(np.int16)
        for place, voxels in (("scans", scan), ("labels", ball)):
            nib.save(nib.Nifti1Image(voxels, np.eye(4), header), folder / place / name)
    return folder


# ---- processes ---------------------------------------------------------------------------------


class Watch(threading.Thread):
    """Samples what processes and those below them use: memory by role, and processor time."""

    def __init__(self, roots: dict[str, list[int]], every: float = 0.2):
        super().__init__(daemon=True)
        self.roots, self.every, self.ended = roots, every, threading.Event()
        self.peak = dict.fromkeys(roots, 0)  # bytes
        self.seconds: dict[int, float] = {}  # process → when last seen

    def run(self) -> None:
        while not self.ended.wait(self.every):
            for role, roots in self.roots.items():
                self.peak[role] = max(self.peak[role], sum(map(self._look_at, roots)))

    def _look_at(self, root: int) -> int:
        there = 0
        with suppress(psutil.Error):  # it has just ended
            process = psutil.Process(root)
            for each in (process, *process.children(recursive=True)):
                with suppress(psutil.Error):
                    there += each.memory_info().rss
                    self.seconds[each.pid] = sum(each.cpu_times()[:2])
        return there

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.ended.set()
        self.join()


def command(*words: object, **how: Any) -> subprocess.Popen:
    """``ssl3d`` with these words, in a process of its own that says nothing."""
    run = [sys.executable, "-W", "ignore", "-m", "ssl3d_lite.cli", *map(str, words)]
    return subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **how)


def ended(process: subprocess.Popen) -> None:
    """Wait for a process; it must end well."""
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(process.args)}\n{said.decode()}")


@contextmanager
def prepare(raw: Path, out: Path) -> Iterator[tuple[subprocess.Popen, list[subprocess.Popen]]]:
    """The command that prepares a cohort, and its cluster: scheduler and workers."""
    with dask_cluster(WORKERS, "--no-nanny") as cluster:
        files = ("--raw", raw / "scans", "--labels", raw / "labels")
        preparing = command("prepare", "folder", *files, "--out", out, "--dask", cluster.address)
        with preparing as running:
            try:
                yield running, cluster.processes
            finally:
                running.kill()


def prepare_at_once(raw: Path, out: Path) -> dict[str, float]:
    """Prepare a cohort: seconds, seconds of processor time, and bytes at the peak by role."""
    start = time.perf_counter()
    with prepare(raw, out) as (running, (scheduler, *workers)):
        pids = ([running.pid], [scheduler.pid], [worker.pid for worker in workers])
        with Watch(dict(zip(ROLES, pids, strict=True))) as watch:
            ended(running)
    took = time.perf_counter() - start
    return {"prepare": took, "prepare_cpu": sum(watch.seconds.values()), **watch.peak}


def prepare_with_kills(raw: Path, out: Path, count: int, seed: int = 0) -> dict[str, float]:
    """The same, killed twice: seconds of all three runs, and the scans done at each kill."""
    start, random = time.perf_counter(), np.random.default_rng([count, seed])
    done = []
    for share, cluster_too in zip(sorted(random.uniform(0.1, 0.9, 2)), (False, True), strict=True):
        with prepare(raw, out) as (running, cluster):
            while finished(out) < share * count:
                if running.poll() is not None:
                    ended(running)
                    raise SystemExit("it ended before it was killed: take more scans")
                time.sleep(0.02)
            for process in (running, *(cluster if cluster_too else ())):
                process.kill()
        done.append(finished(out))
        if (out / MANIFEST).exists():
            raise SystemExit("it was killed when all was done: take more scans")
    with prepare(raw, out) as (running, _):
        ended(running)
    return {"killed": time.perf_counter() - start, "done_at_kills": done}


def finished(out: Path) -> int:
    """How many scans a run has noted as done."""
    with suppress(FileNotFoundError):
        return sum(entry.name.endswith(".json") for entry in os.scandir(out / "records"))
    return 0


def differences(one: Path, other: Path) -> list[str]:
    """The files that two folders do not have in common, byte for byte; marks do not count."""
    names = [
        {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
        for folder in (one, other)
    ]
    common = {name for name in names[0] & names[1] if name.name not in (MARK, LOCK)}
    apart = {name for name in common if not cmp(one / name, other / name, shallow=False)}
    return sorted(map(str, apart | (names[0] ^ names[1])))


# ---- a cohort ----------------------------------------------------------------------------------


def in_new_process(what: str, cohort: Path) -> dict[str, float]:
    """What this script measures of a cohort in a process of its own."""
    run = [sys.executable, "-W", "ignore", __file__, "--measure", what, str(cohort)]
    done = subprocess.run(run, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def verify_seconds(cohort: Path) -> float:
    start = time.perf_counter()
    ended(command("verify", cohort, "--workers", WORKERS))
    return time.perf_counter() - start


def step_beside_verify(folder: Path) -> float:
    """How long a training step takes beside ``verify``, in the time that it takes alone."""
    from ssl3d_lite.models.encoders import make_encoder
    from ssl3d_lite.tasks import make_task
    from ssl3d_lite.training.pretraining import pretrain

    cohort = Cohort.open(folder)

    def step_seconds(enough) -> float:
        encoder, ticks = make_encoder(cohort, 0), []

        def tick(history: list) -> bool:
            ticks.append(time.perf_counter())
            return len(ticks) > 3 and enough(len(ticks))

        task = make_task("masked", encoder, crop_size=16)
        pretrain(task, encoder, cohort, steps=100_000, batch=4, device="cpu", callback=tick)
        return median(np.diff(ticks[1:]))

    alone = step_seconds(lambda rows: rows > 8)
    checking = command("verify", folder, "--workers", 1, preexec_fn=lambda: os.nice(10))
    beside = step_seconds(lambda rows: rows > 12 or checking.poll() is not None)
    checking.kill()
    checking.communicate()
    return float(beside / alone)


def measured(count: int, folder: Path) -> dict[str, Any]:
    """All figures of cohorts of so many scans."""
    with ExitStack() as gone_at_the_end:
        whole, resumed = (
            Path(gone_at_the_end.enter_context(tempfile.TemporaryDirectory(dir=folder))) / "cohort"
            for _ in range(2)
        )
        raw = write_scans(folder / f"raw_{count}", count)
        found: dict[str, Any] = {"scans": count, **prepare_at_once(raw, whole)}
        found |= prepare_with_kills(raw, resumed, count)
        if apart := differences(whole, resumed):
            raise SystemExit(f"killed and resumed, {len(apart)} files differ: {apart[:3]}")
        found["manifest"] = (whole / MANIFEST).stat().st_size
        found |= in_new_process("step", whole)
        found["verify"] = verify_seconds(whole)
        found |= in_new_process("beside", whole)
    return found


# ---- the table ---------------------------------------------------------------------------------


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Of log cost over log size, by least squares: 0 is flat, 1 is linear, 2 is quadratic."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    sizes = [row["scans"] for row in rows]
    titles = " | ".join(f"{size} scans" for size in sizes)
    lines = [f"| | {titles} | slope |", "|---|" + "---|" * (len(rows) + 1)]
    for name, (title, unit, factor) in ROWS.items():
        costs = [row[name] * factor for row in rows]
        grows = f"{slope(sizes, costs):.2f}" if len(rows) > 1 else ""
        cells = " | ".join(unit.format(cost) for cost in costs)
        lines.append(f"| {title} | {cells} | {grows} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--folder", type=Path, help="keeps the raw scans for the next time")
    parser.add_argument("--page", action="store_true", help="write docs/")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        what, cohort = asked.measure
        if what == "step":
            print(json.dumps(costs_of_cases(Path(cohort))))
        else:
            print(json.dumps({"beside": step_beside_verify(Path(cohort))}))
        return
    with ExitStack() as gone_at_the_end:
        temporary = tempfile.TemporaryDirectory()
        folder = asked.folder or Path(gone_at_the_end.enter_context(temporary))
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for count in asked.sizes:
            rows.append(measured(count, folder))
            print(json.dumps(rows[-1]))
    print("\n".join(table(rows)))
    if asked.page:
        record = {"machine": machine_name("cpu"), "workers": WORKERS, "sizes": rows}
        (DOCS / "cohorts.json").write_text(json.dumps(record, indent=1) + "\n")
        page = DOCS / "speed.md"
        page.write_text(put_between(page.read_text(), "cohorts", "\n".join(table(rows))))


if __name__ == "__main__":
    main()
