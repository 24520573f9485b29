"""How long each task takes to make its views, against copying the volumes once.

    python tests/benchmarks/views.py [--edge 96] [--batch 8] [--device cpu] [--threads 1]

One process, by turns: copy, pose, copy, pose, … The median of the ratios is printed, with the
lowest and highest. Copying is ``volumes.clone()``. A ratio below 1 is no mistake: a task that
shows the network a few small patches does not read the rest.
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch

from ssl3d_lite.machine.timing import now
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task

ROUNDS = 15


def puzzles(edge: int) -> list[tuple[str, str, dict, float | None]]:
    """(task, what it is made to show, its settings, the ratio it should not exceed)."""
    third = {"patch": edge // 3 - 3, "jitter": 3}
    dense = {"patch": 2 * edge // 5, "stride": edge // 5, "max_patches": 4, "jitter": 0}
    all_of_it = {"crop_size": edge, "flip": 1, "rotation": 1, "contrast": 1, "zoom": 1}
    return [
        ("rotation", "the whole volume, turned", {"crop_size": edge, "rotations_per_scan": 1}, 1.5),
        ("jigsaw", "27 pieces of the whole volume", third, 1.5),
        ("rpl", "two of them", third | {"queries_per_scan": 1}, 0.3),
        ("cpc", "125 patches of 16³, half overlapping (default)", {}, 3),
        ("cpc", "64 patches of the whole volume, half overlapping", dense, None),
        ("exemplar", "the whole volume, and a copy distorted in every way", all_of_it, 12),
        ("masked", "the whole volume, 60 % of it hidden", {"crop_size": edge}, None),
    ]


def seconds(work: Callable[[], object], device: str) -> float:
    start = now(device)
    work()
    return now(device) - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edge", type=int, default=96)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    volumes = torch.randn(options.batch, 1, *[options.edge] * 3, device=options.device)
    for _ in range(2):  # the first warms up
        copied = seconds(volumes.clone, options.device)
    print(
        f"{options.batch} volumes of {options.edge}³ on {options.device}, times of clone(), "
        f"which took {1e3 * copied:.3f} ms:"
    )
    for name, shows, settings, limit in puzzles(options.edge):
        task = make_task(name, EncoderSettings(), **settings)
        params = task.sample_params(volumes, torch.Generator().manual_seed(0))
        make_views = partial(task.make_views, volumes, params)
        ratios = []
        for _ in range(ROUNDS + 2):
            copy = seconds(volumes.clone, options.device)
            ratios.append(seconds(make_views, options.device) / copy)
        ratios = sorted(ratios[2:])  # the first two warm up
        wanted = "" if limit is None else f", wanted ≤ {limit:g}"
        print(
            f"{name:9} {ratios[len(ratios) // 2]:6.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f}{wanted})"
            f"  {shows}"
        )


if __name__ == "__main__":
    main()
