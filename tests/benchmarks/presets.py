"""What the presets hold, what a step of them needs in memory, and what their puzzles give away.

    python tests/benchmarks/presets.py --hippocampi FOLDER --volumes FILE ...

measures the memory with our own count, and with real scans the puzzles, into docs/presets.json; and
writes docs/presets.md from that and from the table in ssl3d_lite/training/presets.py. Without
arguments it writes the page alone.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from scipy.ndimage import zoom
from torch import Tensor

from data_recipes.virtual import VirtualHippocampus
from data_recipes.virtual import prepare as prepare_virtual
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.interrupts import temporary_folder
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training.memory import SPARE_MEMORY, step_bytes
from ssl3d_lite.training.presets import (
    NOT_REBUILT,
    PUBLISHED,
    PUBLISHED_EDGE,
    PUBLISHED_TASKS,
    preset,
)
from ssl3d_lite.training.pretraining import Pretraining
from ssl3d_lite.training.settings import PretrainSettings

sys.path.insert(0, str(Path(__file__).parents[1]))
from shortcut_solvers import (
    padding,
    sharpness,
    solve_cpc,
    solve_jigsaw,
    solve_location,
    solve_rotation,
)

DOCS = Path(__file__).parents[2] / "docs"
FIGURES, PAGE = DOCS / "presets.json", DOCS / "presets.md"
GPUS = {16: "16 GB", 24: "24 GB", 48: "48 GB", 80: "80 GB (A100, H100)", 141: "141 GB (H200)"}
WAYS = {  # heading → settings of the training
    "32-true": {"precision": "32-true"},
    "bf16-mixed": {"precision": "bf16-mixed"},
    "and activation checkpointing": {"precision": "bf16-mixed", "activation_checkpointing": True},
}
PIECES = ((13, 0), (8, 3), (4, 3), (4, 6))  # (patch, jitter) in volumes of 40 × 56 × 40


# ---- memory ------------------------------------------------------------------------------------


def memory(name: str, task: str, dims: int, way: dict[str, Any]) -> float:
    """GiB that a step of a preset needs at its peak, on scans of one channel."""
    chosen = preset(name, task, dims)
    own = {key: value for key, value in chosen.training.items() if key != "epochs"}
    settings = PretrainSettings(**own, **way, device="cpu")
    encoder = make_encoder(EncoderSettings(spatial_dims=3 if dims == 3 else 2, **chosen.shape))
    made = make_task(task, encoder, **chosen.tasks[task])
    volumes = torch.zeros(1, 1, *[PUBLISHED_EDGE[dims]] * dims)
    volumes = volumes.expand(settings.batch, *volumes.shape[1:])
    batch = made.make_views(volumes, made.sample_params(volumes, torch.Generator().manual_seed(0)))
    counted = step_bytes(Pretraining(encoder, [made]), (0, batch), settings)
    assert counted is not None
    return counted / 2**30


def measure_memory() -> list[dict[str, Any]]:
    rows = []
    for name in ("paper", "original"):
        for dims in (3, 2):
            for task in PUBLISHED_TASKS:
                row: dict[str, Any] = {"preset": name, "dims": dims, "task": task}
                for heading, way in WAYS.items():
                    row[heading] = round(memory(name, task, dims, way), 1)
                print(row, flush=True)
                rows.append(row)
    return rows


# ---- shortcuts ---------------------------------------------------------------------------------


def share(answers: Iterable[Tensor]) -> list[float]:
    """How many answers are right, and how many there are."""
    right = torch.cat(list(answers))
    return [round(right.float().mean().item(), 4), len(right)]


def measure_shortcuts(volumes: Tensor) -> dict[str, Any]:
    """What rules solve of puzzles made from (scan, 1, 40, 56, 40)."""
    shape, found = EncoderSettings(filters=(1,)), {}
    pairs = volumes[: len(volumes) // 2 * 2].split(2)
    for patch, jitter in PIECES:
        how = {"patch": patch, "jitter": jitter}
        jigsaw = make_task("jigsaw", shape, **how)
        location = make_task("rpl", shape, queries_per_scan=26, **how)
        found[f"jigsaw {patch} {jitter}"] = share(
            solve_jigsaw(jigsaw, volumes, n) for n in range(5)
        )
        found[f"rpl {patch} {jitter}"] = share(
            solve_location(location, volumes, n) for n in range(5)
        )
    for step in (2, 3):
        cpc = make_task("cpc", shape, prediction_steps=(step,))
        for name, only in (("all", False), ("targets", True)):
            answers = (solve_cpc(cpc, pair, n, only) for n, pair in enumerate(pairs))
            found[f"cpc {step} {name}"] = share(answers)
    rotation, half = make_task("rotation", shape), len(volumes) // 2
    for describe in (sharpness, padding):
        orders = [torch.randperm(len(volumes), generator=torch.manual_seed(n)) for n in range(5)]
        found[describe.__name__] = share(
            solve_rotation(rotation, volumes[o[:half]], volumes[o[half:]], describe) for o in orders
        )
    return found


def measure_papers_shortcuts(volumes: Tensor, rounds: int = 10) -> dict[str, Any]:
    """The same of the presets' own puzzles, made from (scan, 1, 128, 128, 128)."""
    shape, found = EncoderSettings(filters=(1,)), {}
    for name in ("paper", "original"):
        own = {task: preset(name, task).tasks[task] for task in ("jigsaw", "rpl", "cpc")}
        jigsaw, cpc = (
            make_task("jigsaw", shape, **own["jigsaw"]),
            make_task("cpc", shape, **own["cpc"]),
        )
        location = make_task("rpl", shape, **own["rpl"] | {"queries_per_scan": 26})
        found[f"{name} jigsaw"] = share(solve_jigsaw(jigsaw, volumes, n) for n in range(rounds))
        found[f"{name} rpl"] = share(solve_location(location, volumes, n) for n in range(rounds))
        found[f"{name} cpc"] = share([solve_cpc(cpc, volumes[:2])])
    return found


def read_volume(path: Path) -> Tensor:
    """A scan stretched to 128³ and scaled to [0, 1], as the paper prepares it."""
    data = np.asarray(nibabel.load(path).dataobj, np.float32)
    data = zoom(data, [128 / edge for edge in data.shape], order=1)
    return torch.from_numpy((data - data.min()) / (data.max() - data.min()))[None]


# ---- the page ----------------------------------------------------------------------------------


def page(figures: dict[str, Any]) -> str:
    """docs/presets.md."""
    return "\n".join(
        [
            "# The presets `paper` and `original`, field by field",
            "",
            "`tests/benchmarks/presets.py` writes this page, from "
            "[presets.py](../ssl3d_lite/training/presets.py) and from what it measures.",
            "P is the paper (arXiv 2006.03829), O its authors' code "
            "(github.com/HealthML/self-supervised-3d-tasks), with a path in it; ours is what "
            "neither says, or what cannot be said in our terms.",
            "A setting that is not named is our default.",
            "",
            "## Values",
            "",
            *table(["setting", "axes", "`paper`", "source", "`original`", "source"], values()),
            "",
            "What the authors' code does and `original` does not:",
            "",
            *(f"- {what} (O: {where})" for what, where in NOT_REBUILT.items()),
            "",
            "## Memory",
            "",
            "GiB that a step needs at its peak, on scans of one channel, by the count that is made "
            "before each training (`ssl3d_lite/training/memory.py`), and the smallest GPU that has "
            f"{SPARE_MEMORY - 1:.0%} more. 2D is with the U-Net.",
            "",
            *table(["preset", "axes", "task", *WAYS, "GPU"], needs(figures["memory"])),
            "",
            "What no GPU of yours holds is a matter of `--batch`, or of `--devices`, which share a "
            "batch.",
            "",
            "## What a rule solves that learns nothing",
            "",
            "Borders: facing planes are compared, and the best match is the answer. Sharpness and "
            "padding: a logistic regression on three and on six numbers a view. In brackets "
            "guessing.",
            "",
            *table(["puzzle", "200 real hippocampi", "40 virtual ones"], shortcuts(figures)),
            "",
            "The presets' own puzzles, on one CT and four MR volumes of 128³: neighbouring pieces "
            "may touch in the paper and in its code, so borders alone solve them.",
            "",
            *table(["puzzle", "`paper`", "`original`"], papers_shortcuts(figures["papers"])),
            "",
        ]
    )


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]


def values() -> Iterable[list[str]]:
    for row in PUBLISHED:
        name = f"{row.where} `{row.field}`" + (f" ({row.task})" if row.task else "")
        axes = " ".join(f"{dims}D" for dims in row.dims)
        yield [
            name,
            axes,
            *(part for each in ("paper", "original") for part in map(in_words, getattr(row, each))),
        ]


def in_words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


def needs(rows: Iterable[dict[str, Any]]) -> Iterable[list[str]]:
    for row in rows:
        least = min(row[way] for way in WAYS) * SPARE_MEMORY
        fits = next((gpu for size, gpu in GPUS.items() if least < size * 1e9 / 2**30), "none")
        sizes = [f"{row[way]:.1f}" for way in WAYS]
        yield [row["preset"], f"{row['dims']}D", row["task"], *sizes, fits]


def shortcuts(figures: dict[str, Any]) -> Iterable[list[str]]:
    def of(name: str) -> list[str]:
        return [f"{figures[scans][name][0]:.1%}" for scans in ("real", "virtual")]

    for task, chance in (("jigsaw", "1.0%"), ("rpl", "16.7%")):
        for patch, jitter in PIECES:
            default = ", the default" if (patch, jitter) == (8, 3) else ""
            what = f"{task}, patch {patch}, jitter {jitter}, gap {13 - patch - jitter} or more"
            yield [f"{what}{default} [{chance}]", *of(f"{task} {patch} {jitter}")]
    for step, among in ((2, ("1.1%", "1.9%")), (3, ("1.1%", "2.8%"))):
        default = ", the default" if step == 3 else ", where they touch"
        yield [f"cpc, {step} rows ahead{default} [{among[0]}]", *of(f"cpc {step} all")]
        yield [f"the same, looked for among targets alone [{among[1]}]", *of(f"cpc {step} targets")]
    for name in ("sharpness", "padding"):
        yield [f"rotation by {name} [10.0%]", *of(name)]


def papers_shortcuts(found: dict[str, Any]) -> Iterable[list[str]]:
    guessing = {
        "jigsaw": "1 of 1000 and of 100",
        "rpl": "faces alone, 1 of 6",
        "cpc": "first target, 1 of 128",
    }
    for task, chance in guessing.items():
        both = [found[f"{name} {task}"] for name in ("paper", "original")]
        yield [f"{task} [{chance}]", *(f"{right:.0%} of {count}" for right, count in both)]


# ---- all of it ---------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hippocampi", type=Path, help="prepared cohort msd Task04_Hippocampus")
    parser.add_argument("--volumes", type=Path, nargs="*", default=[], help="whole scans, NIfTI")
    parser.add_argument("--memory", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    if asked.memory:
        figures["memory"] = measure_memory()
    if asked.hippocampi:
        cohort = Cohort.open(asked.hippocampi)
        figures["real"] = measure_shortcuts(cohort.images(range(len(cohort))))
        with temporary_folder(Path.cwd(), ".virtual-") as folder:
            out = Path(folder) / "cohort"
            prepare_virtual(VirtualHippocampus(out=out, cases=40, workers=1))
            figures["virtual"] = measure_shortcuts(Cohort.open(out).images(range(40)))
    if asked.volumes:
        figures["papers"] = measure_papers_shortcuts(
            torch.stack(list(map(read_volume, asked.volumes)))
        )
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    PAGE.write_text(page(figures))


if __name__ == "__main__":
    main()
