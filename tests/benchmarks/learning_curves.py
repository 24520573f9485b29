"""How fast the U-Net learns, beside MONAI's: Dice on validation cases by seconds of processor time.

    python tests/benchmarks/learning_curves.py --cohort FOLDER [--labels 20] [--seeds 6]
                                               [--steps 100 300] [--json FILE]
                                               [--networks ours monai nnunet]

Both networks are trained by the package's own loop, from the same seeds, on the same labelled
scans in the same order, with the same loss, optimiser and learning rate, on one thread; the turns
alternate. MONAI's UNet has the shape with which it learnt fastest of those that were tried:
strided, two residual units a level, instance norm. Processor time counts steps alone, without
scoring. A learning rate that falls to 0 makes a longer run a run of its own: each number of steps
is trained anew, and the first time that any of them reaches a Dice is what is printed.
nnU-Net's network has its own loss, optimiser and learning rate: see nnunet.py. Where it is not
installed, it is left out.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import nnunet
import torch
from monai.networks.nets import UNet as MonaiUNet
from torch import Tensor, nn

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.evaluation.place import evaluate_place
from ssl3d_lite.evaluation.prediction import class_maps
from ssl3d_lite.evaluation.segmentation import score
from ssl3d_lite.machine.device import machine_name
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.unet import make_unet
from ssl3d_lite.training.batches import labelled_batch
from ssl3d_lite.training.finetuning import map_loss
from ssl3d_lite.training.hooks import Hook, RunSpec, TrainingState
from ssl3d_lite.training.learner import Learner
from ssl3d_lite.training.loop import fit
from ssl3d_lite.training.settings import STEPS_PER_ROW, FinetuneSettings

MARKS = (0.5, 0.7, 0.8, 0.85)
MONAI = {"channels": (8, 16, 32, 64), "strides": (2, 2, 2), "num_res_units": 2}


@dataclass
class Curve:
    """One network from one seed: Dice by seconds of processor time."""

    network: str
    seed: int
    steps: int
    seconds: list[float]
    dice: list[float]

    def reaches(self, mark: float) -> float:
        """Seconds until the Dice is there; infinite, if it never is."""
        there = zip(self.seconds, self.dice, strict=True)
        return next((second for second, dice in there if dice >= mark), float("inf"))


class Segmenter(Learner):
    """Any network that answers every voxel, and the loss of its logits."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network, self.criterion = network, map_loss()

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Any]]:
        return self.criterion(self.network(images), labels), {}


class Clock(Hook):
    """Scores the network every ten steps, and counts the processor time of the steps alone."""

    def __init__(self, network: nn.Module, cohort: Cohort, cases: Sequence[int]):
        self.network, self.cohort, self.cases = network, cohort, cases
        self.spent, self.began = 0.0, time.process_time()
        self.seconds: list[float] = []
        self.dice: list[float] = []

    def after_row(self, state: TrainingState) -> None:
        self.score()

    def score(self) -> None:
        self.spent += time.process_time() - self.began
        self.seconds.append(self.spent)
        channels = range(len(self.cohort.channels))
        maps = class_maps(self.network, self.cohort, self.cases, None, channels)
        scored = score(maps, self.cohort, self.cases, hausdorff=False, progress=False)
        self.dice.append(scored.score)
        self.network.train()
        self.began = time.process_time()


def make_network(name: str, cohort: Cohort, seed: int) -> nn.Module:
    classes = len(cohort.label_values)
    if name == "ours":
        return make_unet(make_encoder(cohort, seed), classes, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        norm = ("instance", {"affine": True})
        return MonaiUNet(3, len(cohort.channels), classes, **MONAI, norm=norm)


def learning_curve(
    name: str, cohort: Cohort, cases: Sequence[int], scored: Sequence[int], seed: int, steps: int
) -> Curve:
    if name == "nnunet":
        return nnunet_curve(cohort, cases, scored, seed, steps)
    network = make_network(name, cohort, seed)
    settings = FinetuneSettings(steps=steps, seed=seed, device="cpu")
    clock = Clock(network, cohort, scored)
    batch_of = partial(labelled_batch, cohort, cases, settings)
    fit(Segmenter(network), batch_of, RunSpec(settings, {}, title=f"{name} {seed}"), [clock])
    return Curve(name, seed, steps, clock.seconds, clock.dice)


def nnunet_curve(
    cohort: Cohort, cases: Sequence[int], scored: Sequence[int], seed: int, steps: int
) -> Curve:
    training = nnunet.NnUNetTraining(cohort, cases, seed, steps)
    clock = Clock(training.network, cohort, scored)
    for step in range(steps):
        training.step(step)
        if (step + 1) % STEPS_PER_ROW == 0 or step + 1 == steps:
            clock.score()
    return Curve("nnunet", seed, steps, clock.seconds, clock.dice)


def table(curves: Sequence[Curve], networks: Sequence[str], seeds: int) -> list[str]:
    """Seconds to each mark, lowest, median and highest of the seeds, and the Dice at the end."""
    lines = [
        "| network | " + " | ".join(f"to {mark:g}" for mark in MARKS) + " | Dice at the end |",
        "|---|" + "---|" * (len(MARKS) + 1),
    ]
    for name in networks:
        own = [curve for curve in curves if curve.network == name]
        cells = []
        for mark in MARKS:
            first = [min(c.reaches(mark) for c in own if c.seed == seed) for seed in range(seeds)]
            cells.append(" · ".join("never" if s == float("inf") else f"{s:.0f}" for s in first))
        ends = {
            n: [c.dice[-1] for c in own if c.steps == n] for n in sorted({c.steps for c in own})
        }
        cells.append("; ".join(f"{n} steps: {_spread(dice)}" for n, dice in ends.items()))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", type=Path, required=True)
    parser.add_argument("--labels", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 300])
    parser.add_argument("--cases", type=int, default=20, help="validation cases to score")
    parser.add_argument("--networks", nargs="+", default=["ours", "monai", "nnunet"])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if "nnunet" in asked.networks and not nnunet.is_installed():
        print("nnU-Net is left out: pip install dynamic-network-architectures")
        asked.networks.remove("nnunet")
    cohort = Cohort.open(asked.cohort)
    split = cohort.split(0)
    scored = split.validation[: asked.cases]
    curves = []
    for seed, steps, name in product(range(asked.seeds), asked.steps, asked.networks):
        cases = cohort.subset(split.train, asked.labels, seed=seed)
        curves.append(learning_curve(name, cohort, cases, scored, seed, steps))
        last = curves[-1]
        each = last.seconds[-1] / steps
        print(f"{name} seed {seed}: {steps} steps, {each:.3f} s each, Dice {last.dice[-1]:.3f}")
    few = cohort.subset(split.train, asked.labels, seed=0)
    place = evaluate_place(cohort, few, scored, hausdorff=False).score
    print(f"{machine_name('cpu')}; place alone: {place:.3f}")
    print("\n".join(table(curves, asked.networks, asked.seeds)))
    if asked.json:
        asked.json.write_text(json.dumps([asdict(curve) for curve in curves], indent=1))


if __name__ == "__main__":
    main()
