"""What this machine can do at best, measured: bytes a second, and operations a second.

Everything else is told as a share of these. They are the best of several tries of the simplest
work there is, in the library that trains: copying a large array, multiplying large matrices,
convolving a volume with as many channels as a network has in its middle.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ssl3d_lite.machine.device import PRECISIONS
from ssl3d_lite.machine.timing import best

COPIED = 256 * 2**20  # bytes: more than any cache holds
MATRIX = {"cpu": 1536, "cuda": 8192}  # rows and columns
CHANNELS = {"cpu": (32, 64), "cuda": (32, 128)}  # of convolutions that are tried
VOLUME = {"cpu": (2, 24), "cuda": (8, 64)}  # batch, edge
DTYPE = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}
SECONDS = 1.0  # spent on each ceiling


@dataclass(frozen=True)
class Peaks:
    """The machine's best."""

    device: str
    copy: float
    """Bytes read and written a second, while copying."""
    convolution: dict[str, float]
    """Precision → operations a second (a multiplication and an addition are two)."""
    matrix: dict[str, float]

    def limit(self, moved: float, operations: float, precision: str) -> tuple[float, str]:
        """The least seconds that work can take, and what it is limited by.

        Args:
            moved: bytes that have to be read or written.
            operations: of convolutions and matrix products.
            precision: in which these are done.
        """
        by_moving = moved / self.copy
        by_counting = operations / max(self.convolution[precision], self.matrix[precision])
        return max((by_moving, "copying"), (by_counting, "computing"))


def measure_peaks(device: str, seconds: float = SECONDS) -> Peaks:
    """Measure them, a second each."""
    precisions = [name for name in PRECISIONS if _worth(device, name)]
    return Peaks(
        device,
        copy_rate(device, seconds),
        {name: max(convolution_rates(device, name, seconds)) for name in precisions},
        {name: matrix_rate(device, name, seconds) for name in precisions},
    )


def _worth(device: str, precision: str) -> bool:
    """bfloat16 is left out where training would never choose it for its speed: on old GPUs."""
    return device != "cuda" or precision == "32-true" or torch.cuda.is_bf16_supported(False)


def copy_rate(device: str, seconds: float) -> float:
    source = torch.ones(COPIED // 4, device=device)
    to = torch.empty_like(source)
    return 2 * COPIED / best(lambda: to.copy_(source), device, seconds)


def matrix_rate(device: str, precision: str, seconds: float) -> float:
    edge = MATRIX[device]
    a, b = (torch.rand(edge, edge, device=device, dtype=DTYPE[precision]) for _ in range(2))
    return 2 * edge**3 / best(lambda: a @ b, device, seconds)


def convolution_rates(device: str, precision: str, seconds: float) -> list[float]:
    """Of 3D convolutions of edge 3 with some numbers of channels, channels last."""
    batch, edge = VOLUME[device]
    rates = []
    for channels in CHANNELS[device]:
        kind = {"device": device, "dtype": DTYPE[precision]}
        last = {"memory_format": torch.channels_last_3d}
        volume = torch.rand(batch, channels, edge, edge, edge, **kind).to(**last)
        weight = torch.rand(channels, channels, 3, 3, 3, **kind).to(**last)
        work = 2 * 27 * channels**2 * batch * edge**3
        taken = best(lambda v=volume, w=weight: F.conv3d(v, w, padding=1), device, seconds / 2)
        rates.append(work / taken)
    return rates
