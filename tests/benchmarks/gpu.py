"""Everything that only a GPU can tell, in one go: fills the GPU columns of docs/benchmarks.md.

    python tests/benchmarks/gpu.py [--out tests/benchmarks/gpu] [--skip study growth …]
                                   [--device cpu]: a rehearsal at small sizes

idle     share of a pretraining step in which the GPU has nothing to do, from a profiler's trace of
         20 steps of each task; and whether anything between two rows of the history waits for it
bench    ssl3d bench: every stage beside its limit
views    views of 8 volumes of 128³ beside copying them once
growth   cost by edge and batch
peers    MONAI, TorchIO, NumPy and SciPy
study    virtual BraTS at 96³: five tasks, three seeds, pretraining and fine-tuning; wanted ≤ 30 min

Each part writes its own file, so what is done is kept when another part fails.
"""

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

import torch

from ssl3d_lite.machine.device import machine_name

HERE = Path(__file__).parent
PARTS = ("idle", "bench", "views", "growth", "peers", "study")
TASKS = ("cpc", "rpl", "jigsaw", "rotation", "exemplar")
EDGE = {"cuda": 96, "cpu": 48}


def busy(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of spans (start, end): what several streams do at once counts once."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def idle_share(spans: list[tuple[float, float]]) -> float:
    """Share of the time from the first span's start to the last one's end that none covers."""
    whole = max(end for _, end in spans) - min(start for start, _ in spans)
    return 1 - busy(spans) / whole


def idle(out: Path, device: str) -> None:
    """A trace of the real loop, and a loop in which every wait for the device is told of."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    from ssl3d_lite.models.encoders import make_encoder
    from ssl3d_lite.models.settings import EncoderSettings
    from ssl3d_lite.tasks import make_task
    from ssl3d_lite.training.pretraining import pretrain
    from ssl3d_lite.training.settings import TrainSettings

    sys.path.insert(0, str(HERE.parent))
    from helpers import random_cohort

    found = {}
    cohort, shape = random_cohort(EDGE[device], 16, device), EncoderSettings()
    activity = {"cuda": ProfilerActivity.CUDA, "cpu": ProfilerActivity.CPU}[device]
    computes = {"cuda": DeviceType.CUDA, "cpu": DeviceType.CPU}[device]
    for name in (*TASKS, "masked"):
        settings = TrainSettings(steps=30, batch=8 if device == "cuda" else 2, device=device)
        trace = profile(activities=[activity])

        def train(callback=None, name=name, settings=settings):
            task, encoder = make_task(name, shape), make_encoder(shape, 0)
            pretrain(task, encoder, cohort, range(16), settings, callback=callback)

        def record(history, trace=trace):
            if history[-1]["step"] == 10:
                trace.start()
            elif history[-1]["step"] == 30:
                trace.stop()

        train()  # the first calls choose and compile kernels
        train(record)
        spans = [
            (e.time_range.start, e.time_range.end)
            for e in trace.events()
            if e.device_type == computes
        ]
        found[name] = {"idle": idle_share(spans), "waits": waits(train, device)}
        print(f"{name}: idle {100 * found[name]['idle']:.1f} %, {found[name]['waits']} waits")
    (out / "idle.json").write_text(json.dumps(found, indent=1) + "\n")


def waits(train, device: str) -> int:
    """How often the host waited for the device; three rows of the history may, ten steps apart."""
    if device == "cpu":
        return 0
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            train()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(each.message) for each in told)


def study(out: Path, device: str) -> None:
    from ssl3d_lite.study import read_study, run_study

    edge, rehearsed = EDGE[device], device == "cpu"
    changes = (
        {}
        if rehearsed
        else {
            "arms": [*TASKS, "scratch"],
            "labels": ["10%"],
            "protocols": ["finetune"],
            "milestones": [],
            "seeds": 3,
            "cohort": {"recipe": "virtual-brain", "cases": 100, "edge": edge},
            "encoder": {"filters": [16, 32, 64, 128]},
            "pretrain": {"steps": 1000, "batch": 8},
            "finetune": {"steps": 500, "validate_every": 250},
        }
    )
    start = time.perf_counter()
    scale = "smoke" if rehearsed else "class"
    run_study(read_study("brats", scale, **changes), out / "study")
    minutes = (time.perf_counter() - start) / 60
    print(f"virtual BraTS at {edge}³, five tasks, three seeds: {minutes:.1f} minutes, wanted ≤ 30")
    (out / "study.json").write_text(json.dumps({"minutes": minutes, **changes}, indent=1) + "\n")


def script(out: Path, name: str, *arguments: str) -> None:
    """Run a benchmark beside this one, and keep what it prints, also if it is ended half-way."""
    command = [sys.executable, "-u", str(HERE / f"{name}.py"), *arguments]
    with (out / f"{name}.txt").open("w") as told:
        subprocess.run(command, check=True, stdout=told)
    print((out / f"{name}.txt").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "gpu")
    parser.add_argument("--skip", nargs="*", choices=PARTS, default=[])
    parser.add_argument("--device", choices=EDGE, default="cuda")
    options = parser.parse_args()
    out, device = options.out, options.device
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("gpu.py: this machine has no GPU; to rehearse without one, give --device cpu")
    out.mkdir(parents=True, exist_ok=True)
    print(machine_name(device))
    on, small = ("--device", device), device == "cpu"
    bench = [sys.executable, "-m", "ssl3d_lite.cli", "bench", *on]
    bench += ["--seconds", "0.2"] if small else []
    sizes = ("--edge", "48", "--batch", "2") if small else ("--edge", "128", "--batch", "8")
    largest = ("--largest", "64") if small else ()
    brief = ("--edge", "32", "--rounds", "2") if small else ()
    parts = {
        "idle": lambda: idle(out, device),
        "bench": lambda: subprocess.run([*bench, "--out", str(out)], check=True),
        "views": lambda: script(out, "views", *on, *sizes),
        "growth": lambda: script(out, "growth", *on, *largest, "--out", str(out)),
        "peers": lambda: script(out, "peers", *on, *brief, "--json", str(out / "peers.json")),
        "study": lambda: study(out, device),
    }
    failed = []
    for name, work in parts.items():
        if name in options.skip:
            continue
        try:
            work()
        except Exception as reason:  # the other parts are worth having all the same
            failed.append(name)
            print(f"{name} failed: {reason}", file=sys.stderr)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
