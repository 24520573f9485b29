"""The tour: the whole path once, from scans to an honest comparison, in minutes on a laptop.

Pretrain an encoder on unlabelled scans; ask with a linear probe what its features are worth
beside random encoders and an oracle; fine-tune it with two labels beside a twin from scratch.
Everything that is measured goes into ``results.csv``, and the report is written from those rows.
"""

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ssl3d_lite.data.cohort import Cohort, Split
from ssl3d_lite.data.registry import make_cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.prediction import predict_batch
from ssl3d_lite.evaluation.probe import linear_probes, recalibrated
from ssl3d_lite.evaluation.proxy import proxy_score
from ssl3d_lite.evaluation.segmentation import Evaluation, evaluate
from ssl3d_lite.files import write_csv
from ssl3d_lite.machine.device import choose_device
from ssl3d_lite.models.encoders import UNetEncoder, make_encoder
from ssl3d_lite.models.modes import device_of
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import UNet
from ssl3d_lite.tasks import ProxyBatch, ProxyTask, Row, make_task, task_classes
from ssl3d_lite.training.finetuning import finetune
from ssl3d_lite.training.presets import SLICES, preset
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import FinetuneSettings, TrainSettings


@dataclass(frozen=True)
class TourSettings:
    """Pretrain, probe, fine-tune, and report what it gained."""

    data: Path | None = None
    """A prepared cohort; without it, virtual hippocampus volumes are made (no download)."""
    task: str = "cpc"
    """Proxy task, or several by turns: cpc+masked."""
    out: Path = Path("tour")
    """Folder for cohort, runs, results.csv and report.html. The same call continues there."""
    seeds: int = 2
    """Paired seeds: each sets the encoder's start, its puzzles, and which cases have labels."""
    cases: int = 200
    """Virtual volumes to make."""
    pretrain_steps: int | None = None
    """Default: those of the task's quick preset."""
    finetune_steps: int = 60
    oracle_steps: int = 100
    probe_labels: tuple[int, ...] = (2, 5, 20)
    """Labelled volumes that the probe is fitted on."""
    probe_draws: int = 3
    """Different draws of that many volumes."""
    finetune_labels: int = 2
    filters: tuple[int, ...] = (8, 16, 32, 64)
    """Channels of the U-Net's levels."""
    batch: int = 0
    """Scans a step of fine-tuning; 0 for 2, and of slices 32. Pretraining has its preset's."""
    device: str = "auto"


@dataclass
class Tour:
    """What a tour found; the report draws and tabulates it."""

    settings: TourSettings
    cohort: Cohort
    split: Split
    rows: list[dict[str, Any]] = field(default_factory=list)  # a row a score
    # task → run → its history; and its scores on cases it was not trained on
    histories: dict[str, dict[str, list[Row]]] = field(default_factory=dict)
    held_out: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    puzzles: dict[str, tuple[Tensor, ProxyBatch]] = field(default_factory=dict)  # by task:
    # volumes, and a batch made from them
    notes: dict[str, str] = field(default_factory=dict)  # task → what to know about its puzzle
    example: dict[str, Any] = field(default_factory=dict)  # one test case, segmented
    seconds: dict[str, float] = field(default_factory=dict)  # by stage

    def add(self, reading: str, arm: str, seed: int, labels: int, draw: int, result: Evaluation):
        """Note a score: mean Dice, and that of each region."""
        row = {"reading": reading, "arm": arm, "seed": seed, "labels": labels, "draw": draw}
        self.rows.append(row | {"dice": result.mean_dice} | result.by_region)

    def scores(self, reading: str, arm: str, labels: int) -> list[float]:
        """All mean Dice scores of an arm, in the order they were made."""
        return [row["dice"] for row in self.of(reading, arm) if row["labels"] == labels]

    def of(self, reading: str, arm: str) -> list[dict[str, Any]]:
        """The rows of one arm."""
        return [r for r in self.rows if (r["reading"], r["arm"]) == (reading, arm)]

    def arms(self, reading: str) -> list[str]:
        return list(dict.fromkeys(r["arm"] for r in self.rows if r["reading"] == reading))

    def seeds(self, reading: str, arm: str) -> list[int]:
        return sorted({row["seed"] for row in self.of(reading, arm)})

    def seed_means(self, reading: str, arm: str, labels: int) -> list[float]:
        """Mean over draws of labels, one figure a seed."""
        rows = [row for row in self.of(reading, arm) if row["labels"] == labels]
        return [
            float(np.mean([r["dice"] for r in rows if r["seed"] == seed]))
            for seed in self.seeds(reading, arm)
        ]


def tour(settings: TourSettings) -> Tour:
    """Run the tour. What is finished in ``settings.out`` is not computed again."""
    task_classes(settings.task)  # refuses a misspelt one before any work is done
    clock = Clock()
    data = settings.data or virtual_cohort(settings)
    cohort = Cohort.open(data)
    split = check_cohort(cohort, settings)
    cohort = cohort.to(choose_device(settings.device))
    found = Tour(settings, cohort, split)
    clock.lap(found.seconds, "data")
    encoders = pretrained_encoders(found)
    clock.lap(found.seconds, "pretraining")
    oracle = supervised_encoder(found)
    clock.lap(found.seconds, "oracle")
    probe_all(found, encoders, oracle)
    clock.lap(found.seconds, "probes")
    finetune_pairs(found, encoders)
    clock.lap(found.seconds, "fine-tuning")
    write_csv(settings.out / "results.csv", found.rows)
    return found


class Clock:
    """Seconds since the last lap."""

    def __init__(self):
        self.last = time.perf_counter()

    def lap(self, into: dict[str, float], name: str) -> None:
        now = time.perf_counter()
        into[name], self.last = now - self.last, now


# ---- data --------------------------------------------------------------------------------------


def virtual_cohort(settings: TourSettings) -> Path:
    """Make the embedded default: crops of warped virtual brains, prepared as real ones are."""
    return make_cohort("virtual-hippocampus", settings.out / "cohort", cases=settings.cases)


def check_cohort(cohort: Cohort, settings: TourSettings) -> Split:
    """Raise InputError if the cohort cannot carry the tour."""
    cohort.require_maps()
    split = cohort.split()
    most = max(*settings.probe_labels, settings.finetune_labels)
    if (there := len(cohort.scans(split.train))) < most:
        raise InputError(
            f"{cohort.name} has {there} labelled scans to train on, but the tour "
            f"wants {most}; set --probe-labels lower"
        )
    return split


# ---- the encoders ------------------------------------------------------------------------------


def batch_of(found: Tour) -> int:
    """Scans a step of fine-tuning."""
    return found.settings.batch or (2 if found.cohort.spatial_dims == 3 else SLICES)


def encoder_settings(found: Tour, norm: str = "batch") -> EncoderSettings:
    return EncoderSettings(
        in_channels=len(found.cohort.channels),
        spatial_dims=found.cohort.spatial_dims,
        filters=found.settings.filters,
        norm=norm,
    )


def pretrained_encoders(found: Tour) -> list[UNetEncoder]:
    """One encoder a seed, pretrained on the training cases' scans without their labels."""
    settings, cohort, split = found.settings, found.cohort, found.split
    chosen = preset("quick", settings.task, cohort.spatial_dims)
    encoders = []
    for seed in range(settings.seeds):
        encoder = make_encoder(encoder_settings(found), seed)
        tasks = [
            make_task(name, encoder.settings, seed, **own) for name, own in chosen.tasks.items()
        ]
        training = TrainSettings(**pretraining(found), seed=seed, device=settings.device)
        out = settings.out / f"{settings.task}-seed{seed}"
        history = pretrain(tasks, encoder, cohort, split.pretrain, training, out)
        for task in tasks:
            run = f"{task.name}, seed {seed}"
            rows = [row for row in history if row["task"] == task.name]
            found.histories.setdefault(task.name, {})[run] = rows
            scores = proxy_score(task, encoder, cohort, split.validation, training.batch)
            found.held_out.setdefault(task.name, {})[run] = scores
            found.puzzles.setdefault(task.name, example_puzzle(task, cohort, split))
            found.notes[task.name] = task.note
        encoders.append(encoder)
    return encoders


def pretraining(found: Tour) -> dict[str, Any]:
    """Steps, batch and learning rate of pretraining."""
    steps, dims = found.settings.pretrain_steps, found.cohort.spatial_dims
    quick = preset("quick", found.settings.task, dims).training
    return quick | ({"steps": steps} if steps else {})


def example_puzzle(task: ProxyTask, cohort: Cohort, split: Split) -> tuple[Tensor, ProxyBatch]:
    volumes = cohort.images(split.validation[:2])
    return volumes, task.make_views(
        volumes, task.sample_params(volumes, torch.Generator().manual_seed(0))
    )


def supervised_encoder(found: Tour) -> UNetEncoder:
    """The oracle: an encoder trained with the labels of all training cases."""
    settings, cohort = found.settings, found.cohort
    network = make_network(make_encoder(encoder_settings(found), 0), cohort, seed=0)
    training = FinetuneSettings(
        steps=settings.oracle_steps, batch=batch_of(found), device=settings.device
    )
    out = settings.out / "oracle"
    finetune(network, cohort, found.split.train, training, out)
    return network.encoder


# ---- the two readings --------------------------------------------------------------------------


def probe_all(found: Tour, encoders: Sequence[UNetEncoder], oracle: UNetEncoder) -> None:
    """The linear voxel probe on pretrained, random and oracle encoders, at the same labels."""
    settings, cohort, split = found.settings, found.cohort, found.split
    arms = [(settings.task, seed, encoder) for seed, encoder in enumerate(encoders)]
    for norm in ("batch", "group"):
        for seed in range(max(2, settings.seeds)):
            random = make_encoder(encoder_settings(found, norm), 100 + seed)
            arms.append((f"random, {norm} norm", seed, random.to(choose_device(settings.device))))
    arms.append(("oracle (all labels)", 0, oracle))
    draws = [(n, d) for n in settings.probe_labels for d in range(settings.probe_draws)]
    labelled = [cohort.subset(split.train, n, d) for n, d in draws]
    for arm, seed, encoder in tqdm(arms, desc="linear probe", unit="encoder"):
        encoder = recalibrated(encoder, cohort, split.pretrain[:16])
        results = linear_probes(encoder, cohort, labelled, split.test)
        for (n, draw), result in zip(draws, results, strict=True):
            found.add("probe", arm, seed, n, draw, result)


def finetune_pairs(found: Tour, encoders: Sequence[UNetEncoder]) -> None:
    """Fine-tune with few labels, and beside it from scratch: same labels, decoder, crops, steps."""
    settings, cohort, split = found.settings, found.cohort, found.split
    for seed, pretrained in enumerate(encoders):
        starts = {
            settings.task: deepcopy(pretrained),
            "scratch": make_encoder(pretrained.settings, seed),
        }
        labelled = cohort.subset(split.train, settings.finetune_labels, seed)
        training = FinetuneSettings(
            steps=settings.finetune_steps, batch=batch_of(found), seed=seed, device=settings.device
        )
        for arm, encoder in starts.items():
            network = make_network(encoder, cohort, seed)
            out = settings.out / f"finetune-{arm}-seed{seed}"
            finetune(network, cohort, labelled, training, out)
            result = evaluate(network, cohort, split.test, hausdorff=False)
            found.add("fine-tuning", arm, seed, settings.finetune_labels, seed, result)
            if seed == 0:
                keep_example(found, arm, network, result)


def keep_example(found: Tour, arm: str, network: UNet, result: Evaluation) -> None:
    """Segment one test scan: the one in the middle of the first arm's scores, not the best."""
    cohort = found.cohort
    if not found.example:
        order = result.dice.mean(1).argsort()
        scan = list(cohort.scans(found.split.test).values())[order[len(order) // 2]]
        case = scan[len(scan) // 2]  # of a scan's slices the middle one
        image, label = cohort[case]
        found.example = {"image": image[0], "id": cohort.cases[case].id, "case": case}
        found.example["answers"] = {"truth": label}
    case = found.example["case"]
    answer = predict_batch(network, cohort.images([case]).to(device_of(network)))[0]
    found.example["answers"][arm] = answer.cpu().numpy()
