"""The best that this machine can do, measured: bytes per second, and operations per second.

Everything else is given as a share of these peaks. Each is the best of several tries of very simple
work, done by the library that trains: copying a large array, multiplying large matrices, convolving
a volume with as many channels as a network has in its middle.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from ssl3d_lite.machine.device import PRECISIONS
from ssl3d_lite.machine.timing import shortest_time

_COPIED = 256 * 2**20  # bytes: more than any cache holds
_MATRIX = {"cpu": 1536, "cuda": 8192}  # rows and columns
_CHANNELS = {"cpu": (32, 64), "cuda": (32, 128)}  # numbers of channels that are tried
_VOLUME = {"cpu": (2, 24), "cuda": (8, 64)}  # batch, edge
_DTYPE = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}
_SECONDS = 1.0  # spent on each peak
_HOPELESS = 4  # times as long as in float32


@dataclass(frozen=True)
class Peaks:
    """The machine's best rates."""

    device: str
    copy: float
    """Bytes read and written per second while copying."""
    convolution: dict[str, float]
    """Precision → operations per second (a multiplication and an addition count as two)."""
    matrix: dict[str, float]
    """Precision → operations per second of a matrix product."""

    def limit(self, moved: float, operations: float, precision: str) -> tuple[float, str]:
        """The least seconds that work can take, and what limits it: "copying" or "computing".

        Args:
            moved: bytes that have to be read or written.
            operations: number of operations in convolutions and matrix products.
            precision: precision in which these are done.
        """
        by_moving = moved / self.copy
        by_counting = operations / max(self.convolution[precision], self.matrix[precision])
        return max((by_moving, "copying"), (by_counting, "computing"))


def measure_peaks(device: str, wanted: str = "32-true", seconds: float = _SECONDS) -> Peaks:
    """Measure the peaks of "cpu" or "cuda", ``seconds`` for each.

    Args:
        wanted: the precision of training, which is measured in any case. Another one is left out
            where a small try shows that it is hopeless: bfloat16 on a CPU that has no units for it.
    """
    precisions = [name for name in PRECISIONS if _can_train_in(device, name)]
    base = _small_try(device, "32-true")
    precisions = [
        name
        for name in precisions
        if name in ("32-true", wanted) or _small_try(device, name) < _HOPELESS * base
    ]
    return Peaks(
        device,
        copy_rate(device, seconds),
        {name: max(convolution_rates(device, name, seconds)) for name in precisions},
        {name: matrix_rate(device, name, seconds) for name in precisions},
    )


def _can_train_in(device: str, precision: str) -> bool:
    """bfloat16 is left out where training would never choose it for its speed: on old GPUs."""
    return device != "cuda" or precision == "32-true" or torch.cuda.is_bf16_supported(False)


def _small_try(device: str, precision: str) -> float:
    """Seconds of a small convolution."""
    made: dict[str, Any] = {"device": device, "dtype": _DTYPE[precision]}
    volume, kernel = torch.rand(2, 32, 8, 8, 8, **made), torch.rand(32, 32, 3, 3, 3, **made)
    return shortest_time(lambda: F.conv3d(volume, kernel, padding=1), device, 0.02)


def copy_rate(device: str, seconds: float) -> float:
    """Bytes per second, read and written, while a large array is copied."""
    source = torch.ones(_COPIED // 4, device=device)
    to = torch.empty_like(source)
    return 2 * _COPIED / shortest_time(lambda: to.copy_(source), device, seconds)


def matrix_rate(device: str, precision: str, seconds: float) -> float:
    """Operations per second in a product of two large square matrices."""
    edge = _MATRIX[device]
    a, b = (torch.rand(edge, edge, device=device, dtype=_DTYPE[precision]) for _ in range(2))
    return 2 * edge**3 / shortest_time(lambda: a @ b, device, seconds)


def convolution_rates(device: str, precision: str, seconds: float) -> list[float]:
    """Operations per second in 3D convolutions with kernels of edge 3, one rate for each number of
    channels that is tried; channels last."""
    batch, edge = _VOLUME[device]
    rates = []
    for channels in _CHANNELS[device]:
        volume = torch.rand(
            batch, channels, edge, edge, edge, device=device, dtype=_DTYPE[precision]
        ).to(memory_format=torch.channels_last_3d)
        weight = torch.rand(channels, channels, 3, 3, 3, device=device, dtype=_DTYPE[precision]).to(
            memory_format=torch.channels_last_3d
        )
        operations = 2 * 27 * channels**2 * batch * edge**3

        def convolve(volume: torch.Tensor = volume, weight: torch.Tensor = weight) -> torch.Tensor:
            return F.conv3d(volume, weight, padding=1)

        rates.append(operations / shortest_time(convolve, device, seconds / 2))
    return rates
