"""What a step would take on eight GPUs: counted from what one took, and not measured.

    python tests/benchmarks/eight_gpus.py

Each GPU computes its own rows of the batch, in the time that one GPU took for as many
(notebooks/results/gpu/growth.csv). Then all have to know the mean of their gradients. In a ring of
n GPUs each sends 2(n-1)/n times the gradient's bytes. That takes at least so long as the slowest
link between two of them needs for it, and none of it is taken to be hidden behind the backward
pass. Not counted: how long a message takes to begin, and waiting for the slowest.
Writes the section of docs/speed.md that begins with its heading.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training.presets import preset

ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "notebooks/results/gpu/growth.csv"
PAGE, HEADING = ROOT / "docs/speed.md", "## Eight GPUs, predicted"
FILTERS = (8, 16, 32, 64)  # of growth.py
GPUS = 8
# bytes a second in one direction, as the maker or the standard names them
LINKS = {
    "one machine, NVLink": 450e9,  # NVIDIA H200 datasheet: 900 GB/s, both directions together
    "2 machines, 100 Gbit/s": 100e9 / 8,  # Ethernet, IEEE 802.3
    "2 machines, 10 Gbit/s": 10e9 / 8,
}


def gradient_bytes(filters: tuple[int, ...], task: str = "masked", **shape: str) -> int:
    """Bytes of a gradient, which has four for each weight of encoder and task."""
    settings = EncoderSettings(filters=filters, **shape)
    parts = make_encoder(settings, 0), make_task(task, settings)
    return 4 * sum(weight.numel() for part in parts for weight in part.parameters())


def all_reduce_seconds(size: int, gpus: int, bandwidth: float) -> float:
    """Seconds until each of so many has the sum of what all had."""
    return 2 * (gpus - 1) / gpus * size / bandwidth


def measured() -> dict[tuple[int, int], float]:
    """Seconds of a step on one GPU, by edge and batch; the later of two rows counts."""
    with MEASURED.open() as file:
        rows = csv.DictReader(file)
        return {(int(r["edge"]), int(r["batch"])): float(r["ms_a_step"]) / 1e3 for r in rows}


def predicted(
    alone: dict[tuple[int, int], float], size: int, edge: int, batch: int
) -> Iterator[str]:
    """A row of the table: a batch of which each GPU has ``batch``."""
    step = alone[edge, batch]
    whole = alone.get((edge, GPUS * batch))
    yield f"{GPUS * batch} × {edge}³"
    yield f"{1e3 * whole:.0f} ms" if whole else f"{GPUS} steps of {1e3 * step:.0f} ms"
    for bandwidth in LINKS.values():
        shared = step + all_reduce_seconds(size, GPUS, bandwidth)
        yield f"{1e3 * shared:.1f} ms, {(whole or GPUS * step) / shared:.1f} times"


def section() -> str:
    """The section of docs/speed.md."""
    alone, size = measured(), gradient_bytes(FILTERS)
    shape = preset("paper", "cpc", 3).shape
    paper = gradient_bytes(task="cpc", **shape)
    head = [f"| a batch of | one GPU, measured | {' | '.join(LINKS)} |", "|---" * 5 + "|"]
    points = [(64, 1), (64, 2), (128, 2), (192, 2)]
    rows = [f"| {' | '.join(predicted(alone, size, *each))} |" for each in points]
    sends = 2 * (GPUS - 1) / GPUS
    takes = [1e3 * all_reduce_seconds(paper, GPUS, each) for each in LINKS.values()]
    return "\n".join(
        [
            HEADING,
            "",
            "Nobody has run this package on eight GPUs yet. `tests/benchmarks/eight_gpus.py` "
            "predicts it from what one H200",
            "took for a step of masked reconstruction (`growth.csv` in [results/gpu]"
            "(../notebooks/results/gpu/README.md)), and writes this section:",
            "",
            *head,
            *rows,
            "",
            f"The arithmetic: each GPU takes its eighth of the batch, in the time that one took "
            f"for so many scans. Then each sends 2 × {GPUS - 1} / {GPUS}",
            f"= {sends:g} times the gradient, which has {size / 1e6:.2g} MB, by a link of "
            f"{', '.join(f'{each / 1e9:g}' for each in LINKS.values())} GB/s. These are the links' "
            "nominal speeds",
            "(NVIDIA's H200 datasheet; IEEE 802.3). Not counted is how long a message takes to "
            "begin, and waiting for the slowest, so a",
            "real step takes longer.",
            "",
            "So small scans gain little: a step of one is hardly shorter than a step of eight, as "
            "calls take the time. Large ones gain",
            "nearly all. The gradient matters with large networks over slow links: that of preset "
            f"`paper` with CPC has {paper / 1e6:.0f} MB,",
            f"and takes {', '.join(f'{each:.2g}' for each in takes[:-1])} and {takes[-1]:.0f} ms "
            "a step by these links.",
            "",
        ]
    )


def renewed(page: str) -> str:
    """The page with its section made anew."""
    before, _, rest = page.partition(HEADING)
    _, following, after = rest.partition("\n## ")
    return before + section() + following + after


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
