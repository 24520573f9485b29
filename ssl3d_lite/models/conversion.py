"""What lies between a cohort's scans and what somebody's encoder reads.

Converted is what can be converted exactly: channels are found by name, axes are turned and
mirrored, and intensities that differ by a factor and a sum are brought to the other scale. All else
that differs is refused, with the setting that prepares scans as the encoder wants them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from nibabel.orientations import axcodes2ornt, ornt_transform
from torch import Tensor

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.preparation import PreparationRecord
from ssl3d_lite.errors import InputError

from .encoders import plain_channel_name


@dataclass(frozen=True)
class Conversion:
    """From a cohort's scans to an encoder's, and for its features the way back."""

    channels: tuple[int, ...] | None = None
    """The cohort's channels that are read, in the encoder's order; None: as they are."""
    axes: tuple[int, ...] | None = None
    """For each axis of the encoder's, the cohort's; None: as they are."""
    mirrored: tuple[int, ...] = ()
    """The cohort's axes that run the other way."""
    scale: float = 1.0
    shift: float = 0.0
    """A voxel's value is multiplied by the one, then the other is added."""

    def there(self, x: Tensor) -> Tensor:
        """Scans of the cohort (batch, channel, *space) as the encoder reads them."""
        if self.channels is not None:
            x = x[:, list(self.channels)]
        if self.mirrored:
            x = x.flip([2 + axis for axis in self.mirrored])
        if self.axes is not None:
            x = x.permute(0, 1, *(2 + axis for axis in self.axes))
        return x if (self.scale, self.shift) == (1, 0) else x * self.scale + self.shift

    def back(self, level: Tensor) -> Tensor:
        """Features (batch, feature, *space) of the encoder along the cohort's axes."""
        if self.axes is not None:
            places = [self.axes.index(axis) for axis in range(len(self.axes))]
            level = level.permute(0, 1, *(2 + place for place in places))
        return level.flip([2 + axis for axis in self.mirrored]) if self.mirrored else level

    def words(self, cohort: Cohort, want: PreparationRecord) -> list[str]:
        """What is converted, to be said."""
        said = []
        if self.channels not in (None, tuple(range(len(cohort.channels)))):
            theirs, own = " ".join(cohort.channels), " ".join(want.channels or ())
            said.append(f"of the channels {theirs} it reads {own}")
        if self.axes is not None or self.mirrored:
            said.append(
                f"axes are turned from {cohort.preparation.orientation} to {want.orientation}"
            )
        if (self.scale, self.shift) != (1, 0):
            said.append(f"intensities are multiplied by {self.scale:g}, then {self.shift:+g}")
        named = ("intensity", "orientation", "spacing_range")
        unknown = [
            each.removesuffix("_range")
            for each in named
            if getattr(want, each) is not None and getattr(cohort.preparation, each) is None
        ]
        if unknown:
            said.append(f"the cohort's {' and '.join(unknown)} is not known, so it is not compared")
        return said


def conversion_to(
    want: PreparationRecord, count: int, cohort: Cohort, name: str, scale: float, shift: float
) -> Conversion:
    """The conversion from a cohort's scans to those that the encoder ``name`` reads.

    Args:
        want: how the encoder's own scans were prepared.
        count: number of channels that it takes.
        scale, shift: what is done to intensities after that.

    Raises:
        InputError: the scans differ in what cannot be converted; names all of it.
    """
    have = cohort.preparation
    differ = have.differences(want)
    for each in ("channels", "orientation", "classes"):
        differ.pop(each, None)
    channels = _places_of(want.channels, cohort.channels)
    if channels is None and (want.channels or len(cohort.channels) != count):
        asked = " ".join(want.channels or ()) or f"{count} of any name"
        differ["channels"] = f"{' '.join(cohort.channels)}, not {asked}"
    turn = _turn(have.orientation, want.orientation)
    if turn is None:
        differ["orientation"] = f"{have.orientation}, not {want.orientation}"
    if differ or turn is None:
        found = "; ".join(f"{what} {text}" for what, text in differ.items())
        raise InputError(
            f"{cohort.name} is not prepared as {name} reads scans: {found}; "
            f"{_way_out(differ, want)}"
        )
    return Conversion(channels, *turn, scale, shift)


def _places_of(names: Sequence[str] | None, channels: Sequence[str]) -> tuple[int, ...] | None:
    """Where each of ``names`` stands among a cohort's channels; None if one does not."""
    plain = [plain_channel_name(each) for each in channels]
    wanted = [plain_channel_name(each) for each in names or ()]
    if names is None or not set(wanted) <= set(plain):
        return None
    return tuple(plain.index(each) for each in wanted)


def _turn(
    have: str | None, want: str | None
) -> tuple[tuple[int, ...] | None, tuple[int, ...]] | None:
    """Axes and mirrored axes of a :class:`Conversion`; None if there is no such turn."""
    if have is None or want is None or have == want:
        return None, ()
    try:
        turn = ornt_transform(axcodes2ornt(have), axcodes2ornt(want)).astype(int)
    except (KeyError, ValueError):  # letters of a picture's axes, or scans that lie in several ways
        return None
    axes = tuple(turn[:, 0].argsort().tolist())
    mirrored = tuple(int(axis) for axis, sign in enumerate(turn[:, 1]) if sign < 0)
    return (None if axes == tuple(range(len(axes))) else axes), mirrored


def _way_out(differ: dict[str, str], want: PreparationRecord) -> str:
    """What to do about scans that were prepared otherwise."""
    spacing = " ".join(f"{edge:g}" for edge in want.spacing or ())
    flags = {"spacing": f"--spacing {spacing}", "intensity": f"--intensity {want.intensity}"}
    needed = [flag for what, flag in flags.items() if what in differ]
    ways = [f"prepare them again with {' '.join(needed)}"] if needed else []
    if "channels" in differ and want.channels:
        ways.append("call its channels as the cohort does, if they are the same")
    return " and ".join(ways) or "take scans of that kind"


# ---- sizes -------------------------------------------------------------------------------------


def padded(x: Tensor, multiple: Sequence[int]) -> Tensor:
    """Scans (batch, channel, *space) whose edges are multiples, by more of each scan's lowest value
    at the far ends."""
    more = [-edge % step for edge, step in zip(x.shape[2:], multiple, strict=True)]
    if not any(more):
        return x
    lowest = x.flatten(2).amin(2).view(*x.shape[:2], *[1] * len(more))
    ends = [n for missing in reversed(more) for n in (0, missing)]
    # what is padded is 0, so what is taken off before is put there
    return F.pad(x - lowest, ends) + lowest


def cut_to(level: Tensor, space: Sequence[int], whole: Sequence[int]) -> Tensor:
    """The features of the first ``space`` of ``whole`` voxels: cells as large as before, or a
    little smaller where the scan ends within one."""
    if tuple(space) == tuple(whole):
        return level
    edges = [cells * part / full for cells, part, full in zip(level.shape[2:], space, whole)]
    counts = [max(1, -int(-edge // 1)) for edge in edges]
    if edges == counts:
        inside: Any = (..., *map(slice, counts))
        return level[inside]
    # places from -1 to 1 over the part, as places over the whole; the last axis comes first
    shares = torch.tensor([part / full for part, full in zip(space, whole)]).flip(0)
    matrix = torch.cat([torch.diag(shares), (shares - 1)[:, None]], 1).to(level)
    grid = F.affine_grid(
        matrix.expand(len(level), -1, -1), [len(level), 1, *counts], align_corners=False
    )
    return F.grid_sample(level, grid, "bilinear", "border", align_corners=False)
