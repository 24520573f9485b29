"""A training as a film strip: what is made of one plane of one scan, at steps that double.

::

    film = Film(encoder, cohort.images(split.validation[:1])[0], task=task)
    history = pretrain(task, encoder, cohort, callback=film.watch)
    film.finish(history)
    show.film_strip(film)

Each frame holds the encoder's features in colours; what a task of hidden voxels rebuilds; and, of a
network that is fine-tuned, its prediction. The training goes on as if nobody looked: frames are
taken in evaluation mode, and no random number is drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.linalg import orthogonal_procrustes
from torch import nn

from ssl3d_lite.evaluation.feature_maps import COLOUR_REACH, WHITE, cells_of, fit_space, places_in
from ssl3d_lite.evaluation.features import features_between
from ssl3d_lite.files import atomic_write
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.models.modes import device_of, evaluating
from ssl3d_lite.tasks import ProxyBatch, ProxyTask, Row
from ssl3d_lite.training.hooks import Hook, TrainingState

from .arrays import Array, as_numpy, fullest_plane
from .pictures import Picture, class_planes, grey_range, over, planes
from .pieces import HIDDEN_NAME, voxel_classes, with_hidden

_FIRST = 10  # then twice as many each time: about ten frames in a run of some thousand steps
_EDGE = 64  # a scan that is longer is looked at in a block about its middle
_FEATURES, _REBUILT, _PREDICTION = "features", "rebuilt", "prediction"
_OPACITY = 0.55


@dataclass
class Reel:
    """The frames of a film, as they are kept and drawn."""

    steps: list[int] = field(default_factory=list)
    scores: list[np.ndarray] = field(default_factory=list)
    """For each frame three principal components of the plane's features, (row, column, 3)."""
    pictures: dict[str, list[Picture]] = field(default_factory=dict)
    """A row's name → a picture for each frame."""
    shown: dict[str, Picture] = field(default_factory=dict)
    """A row's name → what the network is given."""
    truth: dict[str, Picture] = field(default_factory=dict)
    """A row's name → what it should make of it; features have no truth."""
    losses: dict[int, float] = field(default_factory=dict)
    """The loss after so many steps, of the whole training; {} until it is over."""

    def rows(self) -> dict[str, list[Picture]]:
        """All pictures: a row's name → a picture for each frame."""
        return {_FEATURES: steady_colours(self.scores)} | self.pictures

    def save(self, path: Path) -> None:
        """Keep it as one file of arrays."""
        parts: dict[str, Mapping[str, Any]] = {
            "pictures": self.pictures,
            "shown": self.shown,
            "truth": self.truth,
        }
        arrays: dict[str, Any] = {
            f"{part} {name}": np.asarray(value)
            for part, rows in parts.items()
            for name, value in rows.items()
        }
        arrays |= {"steps": np.array(self.steps), "scores": np.array(self.scores, np.float32)}
        arrays["losses"] = np.array(list(self.losses.items()), float).reshape(-1, 2)
        atomic_write(path, lambda file: np.savez_compressed(file, **arrays))

    @classmethod
    def load(cls, path: Path) -> "Reel":
        with np.load(path, allow_pickle=False) as arrays:
            parts: dict[str, dict[str, Any]] = {"pictures": {}, "shown": {}, "truth": {}}
            for name in arrays.files:
                part, _, row = name.partition(" ")
                if row:
                    parts[part][row] = arrays[name]
            losses = {int(step): float(loss) for step, loss in arrays["losses"]}
            pictures = {row: list(frames) for row, frames in parts["pictures"].items()}
            steps, scores = arrays["steps"].tolist(), list(arrays["scores"])
        return cls(steps, scores, pictures, parts["shown"], parts["truth"], losses)


class Film(Hook):
    """Takes the frames while a network is trained: as ``callback`` of ``pretrain``, or as one of
    the ``hooks`` of ``finetune``."""

    def __init__(
        self,
        encoder: nn.Module,
        volume: Array,
        *,
        task: ProxyTask | None = None,
        network: nn.Module | None = None,
        truth: Array | None = None,
        label_names: Sequence[str] = (),
        seed: int = 0,
        file: Path | None = None,
    ):
        """
        Args:
            encoder: the encoder that is trained, alone or as part of a network.
            volume: (channel, *space), the scan that is looked at; best one that is not trained on.
            task: the task that is trained.
            network: a network that is fine-tuned, and gives logits (batch, class, *space).
            truth: (*space), the label map of the scan.
            label_names: names of the network's classes.
            seed: seed of the task's puzzle.
            file: where frames are kept; those that are there already are not taken again.
        """
        self.encoder, self.task, self.network = encoder, task, network
        self._names, self._file = label_names, file
        block = _middle_block(encoder, volume.shape[1:])
        self._volume = torch.from_numpy(as_numpy(volume)[(slice(None), *block)].copy())
        self._puzzle = None if task is None else _puzzle_of(task, as_numpy(volume), seed)
        self.reel = Reel.load(file) if file is not None and file.exists() else Reel()
        label = None if truth is None else as_numpy(truth)[block]
        space = self._volume.shape[1:]
        self._place = fullest_plane(np.zeros(space) if label is None else label)
        self._show_ends(label)
        if 0 not in self.reel.steps:
            self.take(0)

    # ---- while it is trained -------------------------------------------------------------------

    def watch(self, history: list[Row]) -> None:
        """Take a frame if it is time for one; a callback of the training loop."""
        step = history[-1]["step"]
        if is_frame(step):
            self.take(step)

    def after_row(self, state: TrainingState) -> None:
        """Take a frame if it is time for one, and of the last step; a hook of the loop."""
        if is_frame(state.step) or state.step == state.settings.steps:
            self.take(state.step)

    def finish(self, history: list[Row]) -> Reel:
        """Take the last frame, and keep the losses."""
        self.take(history[-1]["step"])
        own = self.task.name if self.task is not None else None
        rows = [row for row in history if row.get("task") in (own, None)]
        self.reel.losses = {row["step"]: row["loss"] for row in rows}
        self._keep()
        return self.reel

    def take(self, step: int) -> None:
        """Take a frame of the weights as they are after ``step`` steps."""
        if step in self.reel.steps:
            return
        modules = [m for m in (self.encoder, self.task, self.network) if m is not None]
        with (
            torch.random.fork_rng(devices=[]),
            evaluating(*modules),
            torch.inference_mode(),
        ):
            frame = {_REBUILT: self._rebuilt(), _PREDICTION: self._predicted()}
            self.reel.scores.append(self._scores())
        for name, picture in frame.items():
            if picture is not None:
                self.reel.pictures.setdefault(name, []).append(picture)
        self.reel.steps.append(step)
        self._keep()

    def _keep(self) -> None:
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self.reel.save(self._file)

    # ---- what is seen --------------------------------------------------------------------------

    def _show_ends(self, truth: np.ndarray | None) -> None:
        scan = _plane(self._volume.float().numpy(), self._place)
        grey = planes(scan, grey_range(scan[0]))
        self.reel.shown[_FEATURES] = grey
        if self.network is not None:
            self.reel.shown[_PREDICTION] = grey
            if truth is not None:
                self.reel.truth[_PREDICTION] = self._in_colour(_plane(truth[None], self._place)[0])
        if self.task is not None and self._puzzle is not None:
            whole = with_hidden(self._puzzle, 0)
            hidden = ~self._puzzle.target[0, 0, :1].isnan().numpy()
            self._window = grey_range(whole)
            drawn = planes(_plane(whole, self._hidden_place), self._window)
            colours = class_planes(
                _plane(hidden, self._hidden_place)[0].astype(np.uint8), ["shown", HIDDEN_NAME]
            )
            self.reel.shown[_REBUILT] = over(drawn, colours)
            self.reel.truth[_REBUILT] = drawn

    @property
    def _hidden_place(self) -> int:
        """The axial plane of the puzzle in which most is hidden."""
        assert self._puzzle is not None
        return fullest_plane(~self._puzzle.target[0, 0, 0].isnan().numpy())

    def _scores(self) -> np.ndarray:
        """Three principal components of the features in the plane, each in units of its own
        deviation: (row, column, 3)."""
        space = self._volume.shape[1:]
        edges = cells_of(space[:2], 1)
        places = [np.full(edges, self._place)] if len(space) == 3 else []
        cells = np.stack([*np.indices(edges), *places], -1)
        like = next(self.encoder.parameters())
        levels = self.encoder(self._volume[None].to(like))
        at = torch.from_numpy(places_in(cells.reshape(1, -1, len(space)).astype(float), space))
        found = features_between(levels, at.to(like))[0].T.double().cpu().numpy()
        features = found.reshape(-1, *edges)
        fitted = fit_space([features], ["this plane"])
        scores = fitted.components(features, 3)
        deviation = np.sqrt(np.where(fitted.variances > 1e-9, fitted.variances, np.inf))[:3]
        scores = scores / deviation.reshape(-1, *[1] * (scores.ndim - 1))
        upright = np.moveaxis(scores, 0, -1).swapaxes(0, 1)[::-1].astype(np.float32)
        return np.pad(upright, ((0, 0), (0, 0), (0, 3 - upright.shape[-1])))

    def _rebuilt(self) -> Picture | None:
        if self.task is None or self._puzzle is None:
            return None
        found = self.task(self.encoder, self._puzzle.to(device_of(self.encoder)))
        whole = with_hidden(self._puzzle, 0, found[0].float().cpu().numpy())
        return planes(_plane(whole, self._hidden_place), self._window)

    def _predicted(self) -> Picture | None:
        if self.network is None:
            return None
        like = next(self.network.parameters())
        classes = self.network(self._volume[None].to(like)).argmax(1).cpu().numpy()
        return self._in_colour(_plane(classes, self._place)[0])

    def _in_colour(self, classes: np.ndarray) -> Picture:
        """Classes of the plane (x, y), over the scan."""
        names = list(self._names) or ["", *(f"class {n}" for n in range(1, 256))]
        colours = class_planes(classes.astype(np.uint8), names)
        return over(self.reel.shown[_FEATURES], colours, _OPACITY)


def _puzzle_of(task: ProxyTask, scan: np.ndarray, seed: int) -> ProxyBatch | None:
    """A task's puzzle of one scan, (channel, *space); None if it hides no voxels."""

    def made_of(count: int) -> ProxyBatch:
        scans = torch.from_numpy(np.stack([scan] * count))
        return task.make_views(
            scans, task.sample_params(scans, torch.Generator().manual_seed(seed))
        )

    classes = voxel_classes(made_of(2))  # some tasks tell scans apart, and take no less than two
    return made_of(1) if classes is not None and HIDDEN_NAME in classes[1] else None


def is_frame(step: int) -> bool:
    """Whether a frame is taken after so many steps: at none, at 10, 20, 40, 80, …"""
    times = step // _FIRST
    return step % _FIRST == 0 and times & (times - 1) == 0


def steady_colours(scores: Sequence[np.ndarray]) -> list[Picture]:
    """Components of frames (row, column, 3) as red, green and blue, uint8.

    Components have no order and no sign that would last from frame to frame. So those of each frame
    are turned among themselves to be as like the frame before as can be.
    """
    before, pictures = None, []
    for each in scores:
        flat = each.reshape(-1, 3).astype(np.float64)
        before = flat if before is None else flat @ orthogonal_procrustes(flat, before)[0]
        shades = (before / COLOUR_REACH + 1) * (WHITE / 2)
        pictures.append(np.rint(shades.clip(0, WHITE)).astype(np.uint8).reshape(each.shape))
    return pictures


def _middle_block(encoder: nn.Module, space: Sequence[int]) -> tuple[slice, ...]:
    """The part of a scan that is looked at: all, if the encoder needs more voxels than a block."""
    edges = [min(edge, _EDGE) for edge in space]
    if isinstance(encoder, Encoder) and encoder.settings.lack(edges):
        edges = list(space)
    starts = [(whole - edge) // 2 for whole, edge in zip(space, edges, strict=True)]
    return tuple(slice(at, at + edge) for at, edge in zip(starts, edges, strict=True))


def _plane(image: np.ndarray, place: int) -> np.ndarray:
    """The axial plane of an image (channel, *space); a picture whole."""
    return image if image.ndim == 3 else image[..., place]
