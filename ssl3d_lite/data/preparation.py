"""Raw intensities become small numbers: each channel of each scan by itself, and never NaN.

MRI has no units, and its maxima differ a thousandfold between scans; CT is in Hounsfield units,
so there one window fits all.
"""

from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np

from ssl3d_lite.errors import InputError, unknown

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
        if self.kind == "zscore-brain":
            reference = reference[reference != 0]
            if not reference.size:
                raise InputError("no voxel is other than 0, so there is no brain to scale by")
        low, high = self._range(reference)
        reference = reference.clip(low, high)
        contrast = float(reference.max()) - float(reference.min())
        if not 1e-30 < contrast < 1e30:  # outside, float32 would divide by 0 or overflow
            raise InputError(f"a contrast of {contrast:g} cannot be scaled ({self.kind})")
        if self.kind in ("unit", "window"):
            scaled = volume.clip(low, high)
            scaled -= low
            scaled /= high - low
        else:
            scaled = volume.clip(low - (high - low), high + (high - low))
            scaled -= reference.mean(dtype=float)
            scaled /= reference.std(dtype=float)
        if self.kind == "zscore-brain":
            scaled *= volume != 0
        return scaled

    def _range(self, reference: np.ndarray) -> tuple[float, float]:
        if self.kind == "window":
            return self.window
        if self.kind == "unit":
            return float(reference.min()), float(reference.max())
        low, high = np.percentile(reference, (0.5, 99.5))
        return float(low), float(high)
