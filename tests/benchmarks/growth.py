"""How the cost of a training step grows: with edge, batch, processes, and the number of cases.

    python tests/benchmarks/growth.py [--out docs] [--device cpu] [--largest 192]

Masked reconstruction of whole volumes, by ``pretrain()``; each point is a process of its own, so
that its peak memory is its own. Beside the peak stands the estimate of
``ssl3d_lite.training.memory``.
Of cases, what a step does to choose and read its scans is measured, on a cohort of so many files.
Writes growth.json and growth.png.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from ssl3d_lite.data.case import Case, Source, array_path
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.machine.device import machine_name
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show.pieces import COLOURS
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training.batches import cases_of_step, step_generator
from ssl3d_lite.training.memory import step_bytes
from ssl3d_lite.training.pretraining import Pretraining, pretrain
from ssl3d_lite.training.settings import TrainSettings

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers import random_cohort

EDGES = (64, 96, 128, 160, 192)
BATCHES = (1, 2, 4, 8, 16)
PROCESSES = (1, 2)
CASES = (100, 1_000, 5_000, 20_000)
FILTERS = (8, 16, 32, 64)
STEPS = 20  # the first ten warm up


# ---- one point, in a process of its own --------------------------------------------------------


def point(edge: int, batch: int, devices: int, device: str) -> dict[str, float]:
    """Seconds a step, bytes at the peak beyond those before the training, and the estimate."""
    torch.set_num_threads(max(1, torch.get_num_threads() // devices))
    shape = EncoderSettings(filters=FILTERS)
    task, encoder = make_task("masked", shape, crop_size=edge), make_encoder(shape, 0)
    cohort, settings = (
        random_cohort(edge, 16, device),
        TrainSettings(STEPS, batch=batch, device=device),
    )
    settings = replace(settings, devices=devices)
    volumes = cohort.images(list(range(batch // devices)))
    batch_of_it = task.make_views(volumes, task.sample_params(volumes, step_generator(0, 0)))
    said = step_bytes(Pretraining(encoder, [task]), (0, batch_of_it), settings)
    before, ticks = peak(device), []
    del batch_of_it

    def watch(history: list) -> bool:
        ticks.append(time.perf_counter())
        return False

    pretrain(task, encoder, cohort, range(16), settings, callback=watch)
    took = (ticks[-1] - ticks[0]) / (STEPS - 10)
    return {"seconds": took, "bytes": peak(device) - before, "estimate": said}


def peak(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measured(device: str, edge: int = 64, batch: int = 2, devices: int = 1) -> dict[str, float]:
    """``point`` in a new process."""
    given = json.dumps({"edge": edge, "batch": batch, "devices": devices, "device": device})
    done = subprocess.run(
        [sys.executable, __file__, "--point", given], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    print(
        f"edge {edge}, batch {batch}, processes {devices}: {1e3 * found['seconds']:.0f} ms a step"
    )
    return {"edge": edge, "batch": batch, "processes": devices, **found}


# ---- cases -------------------------------------------------------------------------------------


def many_cases(folder: Path, count: int) -> Cohort:
    """A cohort of tiny scans, a file each."""
    space, affine = (8, 8, 8), np.eye(4).tolist()
    source = Source({}, {}, space, affine)
    (folder / "images").mkdir(parents=True)
    cases = []
    for number in range(count):
        name = f"case_{number:05d}"
        np.save(array_path(folder, "images", name), np.zeros((1, *space), np.float16))
        crop = [[0, 8]] * 3
        cases.append(Case(name, name, space, affine, crop, source, labelled=False))
    about = {"name": "many", "licence": "none", "citation": "", "channels": ("one",)}
    labels = {"label_values": (0,), "label_names": ("background",), "regions": {}}
    made = Cohort(
        **about, **labels, spacing=(1.0,) * 3, recipe={}, cases=tuple(cases), folder=folder
    )
    made.save()
    return made


def choosing(count: int) -> dict[str, float]:
    """What a cohort of so many cases costs: :func:`costs_of_cases`."""
    with tempfile.TemporaryDirectory() as folder:
        many_cases(Path(folder), count)
        found = costs_of_cases(Path(folder))
    told = ", ".join(f"{name} {1e3 * seconds:.3f} ms" for name, seconds in found.items())
    print(f"{count} cases: {told}")
    return {"cases": count, **found}


def costs_of_cases(folder: Path) -> dict[str, float]:
    """Seconds to open a cohort; then, a step, to choose scans and to read them."""
    start = time.perf_counter()
    cohort = Cohort.open(folder)
    opened = time.perf_counter() - start
    cases, settings = range(len(cohort)), TrainSettings(steps=400, batch=4)
    chosen, reading = [], []
    for step in range(400):
        start = time.perf_counter()
        scans = cases_of_step(cases, settings, step)
        chosen.append(time.perf_counter() - start)
        start = time.perf_counter()
        cohort.images(scans)
        reading.append(time.perf_counter() - start)
    found = {"open": opened, "choose": np.median(chosen), "read": np.median(reading)}
    return {name: float(seconds) for name, seconds in found.items()}


# ---- all ---------------------------------------------------------------------------------------


def curves(found: dict) -> Figure:
    """Time above, memory below: over edge, batch and processes; and the choice of scans."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots(2, 3)
    titles = {"edge": "edge of a volume, voxels", "batch": "scans a step", "cases": "cases"}
    for column, (name, title) in enumerate(titles.items()):
        points, (above, below) = found[name], axes[:, column]
        places = [each[name] for each in points]
        if name == "cases":
            for number, (part, label) in enumerate(
                (("choose", "choosing a step's scans"), ("read", "reading them"))
            ):
                ms = [1e3 * each[part] for each in points]
                above.plot(places, ms, "o-", color=COLOURS[number], label=label)
            below.plot(places, [each["open"] for each in points], "o-", color=COLOURS[0])
            above.set(ylabel="ms a step", ylim=(0, None))
            below.set(ylabel="s to open the cohort", ylim=(0, None))
            above.legend(frameon=False)
        else:
            above.plot(places, [each["seconds"] for each in points], "o-", color=COLOURS[0])
            gigabytes = [each["bytes"] / 1e9 for each in points]
            said = [each["estimate"] / 1e9 for each in points]
            below.plot(places, gigabytes, "o-", color=COLOURS[0], label="measured")
            below.plot(places, said, "x--", color=COLOURS[1], label="estimate before")
            above.set(ylabel="s a step", ylim=(0, None))
            below.set(ylabel="GB", ylim=(0, None))
            below.legend(frameon=False)
        below.set_xlabel(title)
    for each in axes.flat:
        each.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--largest", type=int, default=192)
    parser.add_argument("--point", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        print(json.dumps(point(**json.loads(options.point))))
        return
    kind = options.device
    options.out.mkdir(exist_ok=True)
    found = {"machine": machine_name(kind), "torch": torch.__version__}
    parts = {
        "edge": [partial(measured, kind, edge=n) for n in EDGES if n <= options.largest],
        "batch": [partial(measured, kind, batch=n) for n in BATCHES],
        "processes": [partial(measured, kind, batch=4, devices=n) for n in PROCESSES],
        "cases": [partial(choosing, count) for count in CASES],
    }
    if kind != "cpu":
        del parts["processes"]
    for name, points in parts.items():
        found[name] = []
        for point_of_it in points:  # what is done is kept, if it is ended half-way
            found[name].append(point_of_it())
            (options.out / "growth.json").write_text(json.dumps(found, indent=1) + "\n")
    curves(found).savefig(options.out / "growth.png", dpi=110)


if __name__ == "__main__":
    main()
