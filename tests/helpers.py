"""A small cohort of made-up scans, puzzles made from volumes, and a small disk."""

import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from ssl3d_lite.data.case import Case, Source, array_path, write_array
from ssl3d_lite.data.cohort import Cohort, CohortDescription
from ssl3d_lite.evaluation.prediction import prediction_file
from ssl3d_lite.outputs import LOCK, MARK


def random_cohort(edge: int, count: int = 8, device: str = "cpu", alike: bool = False) -> Cohort:
    """Labelled volumes of noise, edge³, in memory alone, to measure training by.

    If they are ``alike``, all are one volume: many large ones take no more memory.
    """
    shape, square = (edge,) * 3, np.eye(4).tolist()
    volumes = torch.randn(1 if alike else count, 1, *shape, device=device)
    labels = (volumes[:, 0] > 0).byte()
    cases = [
        Case(f"c{i}", f"p{i}", shape, square, [], Source({}, {}, shape, square), labelled=True)
        for i in range(count)
    ]
    about = CohortDescription(
        name="random",
        licence="none",
        citation="none",
        channels=("one",),
        label_values=(0, 1, 2),
        label_names=("none", "one", "two"),
        regions={"one": (1,)},
        recipe={"name": "random"},
        folder=Path("in memory alone"),
    )
    resident = (volumes.expand(count, 1, *shape), labels.expand(count, *shape))
    return replace(about.with_cases(cases, (1.0,) * 3), resident=resident)


def write_prediction(path: Path, classes: np.ndarray, case: Case, values, origin: str = "") -> None:
    """A class map as a file over the raw scan, as ``predict`` writes those of a network."""
    path.write_bytes(prediction_file(path.name, classes, case, values, origin))


def make_cohort(
    folder: Path,
    count: int = 15,
    shape: tuple[int, ...] = (24, 32, 24),
    channels: int = 1,
    patients: int | None = None,
    unlabelled: int = 0,
    seed: int = 0,
) -> Cohort:
    """Scans of one anatomy (a smooth texture) with a bright blob in it, which is label 1 or 2.

    Cases are dealt to 5 folds by patient; the last ``unlabelled`` have no label and no fold.
    """
    generator = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    anatomy = gaussian_filter(np.random.default_rng(99).normal(size=shape), 2, mode="wrap")
    anatomy /= anatomy.std()
    cases = []
    for index in range(count):
        centre = generator.uniform(-0.4, 0.4, len(shape)).reshape(-1, *[1] * len(shape))
        blob = np.sqrt(((grid - centre) ** 2).sum(0)) < 0.4
        label = np.where(blob, np.where(grid[1] > centre[1], 1, 2), 0).astype(np.uint8)
        image = blob * 3 + anatomy + generator.normal(0, 0.2, (channels, *shape))
        name = f"case_{index:03d}"
        labelled = index < count - unlabelled
        write_array(array_path(folder, "images", name), image.astype(np.float16))
        if labelled:
            write_array(array_path(folder, "labels", name), label)
        affine = np.eye(len(shape) + 1).tolist()
        patient = index % (patients or count)
        cases.append(
            Case(
                id=name,
                patient=f"patient_{patient:03d}",
                shape=shape,
                affine=affine,
                crop=[[0, n] for n in shape],
                source=Source({}, {}, shape, affine),
                labelled=labelled,
                fold=patient % 5 if labelled else None,
            )
        )
    cohort = Cohort(
        name="made up",
        licence="none",
        citation="",
        channels=tuple(f"channel {c}" for c in range(channels)),
        label_values=(0, 1, 2),
        label_names=("background", "front", "back"),
        regions={"front": (1,), "back": (2,), "whole": (1, 2)},
        spacing=(1.0,) * len(shape),
        recipe={"name": "test"},
        cases=tuple(cases),
        folder=folder,
    )
    cohort.save()
    return cohort


def make_graded(folder: Path, grades: list[int | None], edge: int = 8) -> Cohort:
    """Coloured squares with one of three grades each, dealt to 5 folds; None is ungraded."""
    made = make_cohort(folder, len(grades), (edge, edge), channels=3)
    cases = []
    for index, (case, grade) in enumerate(zip(made.cases, grades, strict=True)):
        array_path(folder, "labels", case.id).unlink()
        picture = np.random.default_rng(index).uniform(0, 1, (3, edge, edge))
        write_array(array_path(folder, "images", case.id), picture.astype(np.float16))
        fold = None if grade is None else index % 5
        cases.append(replace(case, grade=grade, labelled=grade is not None, fold=fold))
    graded = replace(
        made,
        cases=tuple(cases),
        channels=("red", "green", "blue"),
        ordinal=True,
        unit="px",
        regions={},
        label_names=("none", "mild", "severe"),
    )
    graded.save()
    return graded


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but marks: what two that are the same have in common."""
    hidden = (MARK, LOCK)
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in hidden)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# ---- puzzles -----------------------------------------------------------------------------------


def drawn(task, volumes, seed=0):
    return task.sample_params(volumes, torch.Generator().manual_seed(seed))


def posed(task, volumes, seed=0):
    return task.make_views(volumes, drawn(task, volumes, seed))


def looked_up(volumes, matrix, edge):
    """What the volumes hold where the placement says, voxel by voxel."""
    dims = volumes.ndim - 2
    voxels = torch.cartesian_prod(*[torch.arange(edge)] * dims)
    voxels = torch.cat([voxels, torch.ones(len(voxels), 1)], 1)
    source = (matrix @ voxels.T)[..., :dims, :].long()  # (batch, view, D, voxel)
    scan = torch.arange(len(volumes))[:, None, None]
    values = volumes.movedim(1, -1)[(scan, *source.unbind(2))]
    return values.movedim(-1, 2).unflatten(-1, [edge] * dims)


def cell_numbers(cell, dims):
    """A volume of 3^D cells in which every voxel holds its cell's number, last axis fastest."""
    number = torch.arange(3.0**dims).view(1, 1, *[3] * dims)
    for axis in range(dims):
        number = number.repeat_interleave(cell, 2 + axis)
    return number


class Analytic(nn.Module):
    """An "encoder" whose features are given by a formula: scan (1, channel, *space) → the same."""

    def __init__(self, formula):
        super().__init__()
        self.zero, self.formula = nn.Parameter(torch.zeros(())), formula

    def forward(self, x):
        return [self.formula(x) + self.zero]


class Means(nn.Module):
    """An encoder that counts what it encodes; its one feature is the patch's mean."""

    def __init__(self):
        super().__init__()
        self.encoded = 0

    def forward(self, x):
        self.encoded += len(x)
        return [x.mean(1, keepdim=True)]


# ---- pages -------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a page shows, and what it links to or loads."""

    def __init__(self):
        super().__init__()
        self.sources, self.text = [], []

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        self.sources += [names[n] for n in ("src", "href") if n in names]

    def handle_data(self, data):
        self.text.append(data)


# ---- a small disk ------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, size: str):
    """A disk of ``size`` mounted at ``folder``; skips the test where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
