"""What is done to a raw scan before a network sees it, and the record that is kept of it.

Raw intensities become small numbers: each channel of each scan by itself, and never NaN. MRI has
no units, and its maxima differ a thousandfold between scans; CT is in Hounsfield units, so there
one window fits all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import chain
from typing import Any, Literal, cast, get_args

import numpy as np

from ssl3d_lite.errors import InputError, unknown

SAME_SPACING = 0.01  # relative difference of voxel sizes that were set and count as one
OWN_SPACING = 0.25  # relative difference of voxels that scans brought with them
PART_SIZE = 2**25  # voxels of a scan that are worked on at a time: 128 MB
IntensityKind = Literal["zscore", "zscore-brain", "unit", "window"]


@dataclass(frozen=True)
class Intensity:
    """How to scale one channel of one scan.

    * ``zscore``: mean 0 and standard deviation 1, reckoned with what lies beyond the 0.5 and 99.5
      percentiles set to them, so that a few outliers do not count. Values are clipped only as far
      beyond the percentiles as these lie apart: a small bright lesion stays bright, at least two
      deviations above the 99.5 percentile, and a broken voxel takes no more than that;
    * ``zscore-brain``: the same over voxels that are not 0. Those that are 0 stay so, which is
      then the brain's mean: where there is no tissue, there is nothing out of the ordinary;
    * ``unit``: minimum 0, maximum 1 (the paper);
    * ``window:LOW,HIGH``: clipped to this range, which becomes [0, 1].
    """

    kind: IntensityKind
    window: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def parse(cls, text: str) -> "Intensity":
        """Read a setting such as ``zscore`` or ``window:-100,240``.

        Raises:
            InputError: a misspelt kind, or a window that is none.
        """
        kind, _, bounds = text.partition(":")
        if kind == "window":
            try:
                low, high = map(float, bounds.split(","))
            except ValueError:
                low = high = np.nan
            if not -np.inf < low < high < np.inf:
                raise InputError(f"intensity {text!r} is no window; write e.g. window:-100,240")
            return cls("window", (low, high))
        if text not in get_args(IntensityKind):
            raise unknown(
                "intensity", text, {*get_args(IntensityKind), "window:LOW,HIGH"} - {"window"}
            )
        return cls(cast(IntensityKind, text))

    def foreground(self, volume: np.ndarray) -> np.ndarray:
        """True where a scan shows something: above the window's lower end, or not 0."""
        return volume > self.window[0] if self.kind == "window" else volume != 0

    @property
    def bounds(self) -> tuple[float, float]:
        """Between what normalised values lie."""
        if self.kind in ("unit", "window"):
            return 0.0, 1.0
        # if 0.5 % of the voxels share one value and all others another, it lies 14.1 deviations
        # off, and the two lie 14.2 apart
        return -28.4, 28.4

    def normalise(self, volume: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Scale ``volume`` by the statistics of ``reference``, a part of the same channel.

        Returns:
            float32, the shape of ``volume``, within :attr:`bounds`.

        Raises:
            InputError: the reference has no contrast to scale by.
        """
        return self.scaling(reference)(volume)

    def scaling(self, reference: np.ndarray) -> "Scaling":
        """The scaling by the statistics of ``reference``, to be applied part by part.

        Raises:
            InputError: the reference has no contrast to scale by.
        """
        if self.kind == "zscore-brain":
            reference = reference[reference != 0]
            if not reference.size:
                raise InputError("no voxel is other than 0, so there is no brain to scale by")
        low, high = self._range(reference)
        least, most = (each.clip(low, high) for each in (reference.min(), reference.max()))
        contrast = float(most) - float(least)
        if not 1e-30 < contrast < 1e30:  # outside, float32 would divide by 0 or overflow
            raise InputError(f"a contrast of {contrast:g} cannot be scaled ({self.kind})")
        if self.kind in ("unit", "window"):
            return Scaling(low, high, low, high - low)
        mean, deviation = _moments(reference, low, high)
        beyond = high - low
        brain = self.kind == "zscore-brain"
        return Scaling(low - beyond, high + beyond, mean, deviation, keeps_zeros=brain)

    def _range(self, reference: np.ndarray) -> tuple[float, float]:
        if self.kind == "window":
            return self.window
        if self.kind == "unit":
            return float(reference.min()), float(reference.max())
        low, high = np.percentile(reference, (0.5, 99.5))
        return float(low), float(high)


@dataclass(frozen=True)
class Scaling:
    """How the values of one channel of one scan become small: clipped, shifted, divided."""

    low: float
    high: float
    shift: float
    divisor: float
    keeps_zeros: bool = False

    def __call__(self, volume: np.ndarray) -> np.ndarray:
        """The values of ``volume``, any part of the channel, scaled: float32, of its shape."""
        scaled = volume.clip(self.low, self.high)
        scaled -= self.shift
        scaled /= self.divisor
        if self.keeps_zeros:
            scaled *= volume != 0
        return scaled


def _moments(values: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Mean and standard deviation of ``values`` set to the range from ``low`` to ``high``.

    They are reckoned in float64, and of a large scan part by part: it takes 8 bytes a voxel.
    """
    parts = np.array_split(values, max(1, values.size // PART_SIZE))
    mean = sum(part.clip(low, high).sum(dtype=float) for part in parts) / values.size
    squares = sum(np.square(part.clip(low, high) - mean).sum() for part in parts)
    return mean, np.sqrt(squares / values.size)


# ---- what was done to all scans of a cohort ----------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PreparationRecord:
    """How a cohort's scans were made, and what its labels mean: ``cohort.preparation``.

    A network carries the record of the cohort that it learnt from, and has learnt nothing of scans
    that were made otherwise. What is not known is None: a recipe may be a stranger's, a file older
    than the record.

    Example::

        cohort.preparation.channels  # ("t1", "flair")
        cohort.preparation.differences(network.provenance.preparation)  # {} if they are alike
    """

    channels: tuple[str, ...] | None = None
    """Names, in the order in which arrays hold them."""
    spatial_dims: int | None = None
    orientation: str | None = None
    """Where each axis runs: "RAS" is right, front, up; "RU", of a picture, is right, up."""
    unit: str | None = None
    """Of the spacing: "mm", or "px" of a raw picture; None where scans state none."""
    intensity: str | None = None
    """How raw values were scaled, as :class:`Intensity` reads it."""
    crop: bool | None = None
    """Whether the empty border was cut away."""
    fit: str | None = None
    """How a scan came to its shape: "pad", "resize" or "stretch"; None where it kept its own."""
    shape: tuple[int, ...] | None = None
    """Voxels of every volume; None where they differ too."""
    shift: int | None = None
    """By how many voxels at most volumes were moved at random along each axis; None where they are
    centred. It is no difference: what is learnt from centred scans may be tried on shifted ones."""
    fixed_spacing: bool | None = None
    """Whether all scans were brought to one voxel size; otherwise they kept their own, or got
    what filled the shape."""
    spacing: tuple[float, ...] | None = None
    """Size of a voxel, the mean over the scans."""
    spacing_range: tuple[tuple[float, float], ...] | None = None
    """Least and greatest size of a voxel along each axis."""
    label_values: tuple[int, ...] | None = None
    """Values in the raw label maps, by class."""
    label_names: tuple[str, ...] | None = None
    """What the classes mean, by class."""
    ordinal: bool | None = None
    """Whether a label is one grade a case, and no map."""
    version: int | None = None
    """Goes up when the same settings come to give other arrays."""

    @classmethod
    def from_recipe(
        cls, recipe: Mapping[str, Any], affines: Sequence[np.ndarray], **known: Any
    ) -> "PreparationRecord":
        """The record of a cohort from its recipe's settings and its cases' affines.

        Args:
            recipe: settings by name. That of slices holds the settings of the volumes they were
                cut from.
            affines: prepared voxel → world, one a case; those of slices are (4, 3).
            known: the other fields.
        """
        while isinstance(recipe.get("cohort"), Mapping):
            recipe = recipe["cohort"]
        edges = np.array([np.linalg.norm(affine[:-1, :-1], axis=0) for affine in affines])
        ranges = np.stack([edges.min(0), edges.max(0)], axis=1).round(6).tolist()
        return cls(
            orientation=orientation_of(affines, known["unit"]),
            intensity=recipe.get("intensity"),
            crop=recipe.get("crop"),
            fit=recipe.get("fit") if recipe.get("size") else None,  # it is how to come to a size
            shift=recipe.get("shift"),
            fixed_spacing=recipe["spacing"] is not None if "spacing" in recipe else None,
            spacing_range=tuple((low, high) for low, high in ranges),
            version=recipe.get("version"),
            **known,
        )

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "PreparationRecord":
        """The record from what JSON made of it. What an older file does not say is None."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: _as_tuple(value) for name, value in record.items() if name in known})

    def to_json(self) -> dict[str, Any]:
        """The record as JSON has it. A shift is named where there is one: records were made, and
        their checksums taken, before it was known."""
        return {name: value for name, value in asdict(self).items() if name != "shift" or value}

    def differences(self, other: "PreparationRecord") -> dict[str, str]:
        """In what two preparations differ, as "here, not there"; of channels, only their names.

        What is unknown of one of them counts as equal. Two cohorts that kept their scans' own
        spacing are alike if no voxel is far from those of the other: see ``OWN_SPACING``.

        Example::

            new.preparation.differences(old.preparation)  # {"intensity": "zscore, not unit"}
        """
        here, there = self._comparable(other), other._comparable(self)
        found = [n for n in here if None not in (here[n], there[n]) and here[n] != there[n]]
        here["channels"], there["channels"] = self.channels, other.channels  # in their order
        differ = {name: f"{_said(here[name])}, not {_said(there[name])}" for name in found}
        if "px" not in (self.unit, other.unit) and not self._spacing_fits(other):
            edges = (" × ".join(f"{edge:.3g}" for edge in r.spacing or ()) for r in (self, other))
            units = (f" {each.unit}" if each.unit else "" for each in (self, other))
            differ["spacing"] = "{}{}, not {}{}".format(*chain(*zip(edges, units, strict=True)))
        return differ

    def _comparable(self, other: "PreparationRecord") -> dict[str, Any]:
        """What is equal where two preparations are alike."""
        plain = ("spatial_dims", "orientation", "unit", "crop", "fit", "shape", "version")
        return {
            "channels": self.channels and tuple(sorted(self.channels)),
            "intensity": _scaling(self.intensity),
            **{name: getattr(self, name) for name in plain},
            "classes": self._classes(other),
        }

    def _classes(self, other: "PreparationRecord") -> tuple[Any, ...] | None:
        """Names of the classes; one that is only numbered is what the other takes it for, where
        their numbers are the same."""
        names, values = self.label_names, self.label_values
        if names is None or values is None or other.label_names is None:
            return names
        theirs = dict(zip(other.label_values or (), other.label_names))
        return tuple(
            theirs.get(value, name) if name == str(value) else name
            for name, value in zip(names, values)
        )

    def _spacing_fits(self, other: "PreparationRecord") -> bool:
        """Whether the voxels are of a size that the other's are of, along each axis."""
        if self.spacing_range is None or other.spacing_range is None:
            return True
        if len(self.spacing_range) != len(other.spacing_range):
            return True  # their dimensions differ, which is said
        exact = True in (self.fixed_spacing, other.fixed_spacing)
        room = 1 + (SAME_SPACING if exact else OWN_SPACING)
        pairs = zip(self.spacing_range, other.spacing_range, strict=True)
        return all(
            there[0] / room <= here[0] <= here[1] <= there[1] * room for here, there in pairs
        )


def _scaling(text: str | None) -> str | None:
    """An intensity setting in one spelling: window:0.0,300 is window:0,300."""
    if text is None or not text.startswith("window:"):
        return text
    return "window:{:g},{:g}".format(*Intensity.parse(text).window)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return (" × " if isinstance(value[0], int) else " ").join(map(str, value))
    return str(value)


def _as_tuple(value: Any) -> Any:
    """JSON knows lists only."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def orientation_of(affines: Sequence[np.ndarray], unit: str | None) -> str:
    """Letters of the directions in which the axes of all cases run; "mixed" if they differ."""
    from nibabel.orientations import io_orientation, ornt2axcodes

    ends = (("L", "R"), ("U", "D")) if unit == "px" else (("L", "R"), ("P", "A"), ("I", "S"))
    # most cases share their directions: look at each direction once
    linear = {np.array(affine)[:-1, :-1].round(3).tobytes(): affine for affine in affines}
    found = {"".join(ornt2axcodes(io_orientation(np.array(a)), ends)) for a in linear.values()}
    return found.pop() if len(found) == 1 else "mixed"
