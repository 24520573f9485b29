"""How much memory this process can still have, and what would need more. Without torch."""

from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path

import psutil
from tqdm import tqdm

from ssl3d_lite.errors import InputError


def check_volume(size: Sequence[int], channels: int, setting: str) -> None:
    """Raise InputError if a prepared volume of ``size`` voxels would not fit into the memory.

    Args:
        channels: each is kept in 16 bit; one at a time is sampled in 32 bit.
        setting: what makes the volume so large, for the message.
    """
    needed = prod(size) * (2 * channels + 4)
    if needed > (free := free_ram()):
        each = f" with {channels} channels" if channels > 1 else " a channel"
        takes, there = (tqdm.format_sizeof(count, "B") for count in (needed, free))
        raise InputError(
            f"{setting} makes a volume of {' x '.join(map(str, size))} voxels, which takes {takes} "
            f"of memory{each}, where {there} are free; take fewer or larger voxels"
        )


def free_ram() -> int:
    """Bytes that this process may still take: the machine's, or fewer where a limit is set."""
    return min([psutil.virtual_memory().available, *_allowed(Path("/proc/self/cgroup"))])


def _allowed(groups: Path, root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """Bytes that this process's container or Slurm job, and those that it lies in, may still take.

    They are files of Linux's control groups, in their first or second version.
    """
    names = {"": ("memory.max", "memory.current", "inactive_file")}
    names["memory"] = (
        *("memory.limit_in_bytes", "memory.usage_in_bytes"),
        "total_inactive_file",
    )
    lines = groups.read_text().splitlines() if groups.exists() else []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        for controller in {*controllers.split(",")} & names.keys():
            top = root / controller
            place = top / path.strip("/")
            for folder in (place, *place.parents):
                if folder.is_relative_to(top):
                    yield from _left(folder, *names[controller])


def _left(folder: Path, largest: str, used_now: str, cached: str) -> Iterator[int]:
    """Bytes left of one control group's limit, if it has one. The cache of files makes way."""
    try:
        limit, used = (int((folder / name).read_text()) for name in (largest, used_now))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        yield max(0, limit - used + int(stat.get(cached, 0)))
    except (OSError, ValueError):  # there is no such file, or it says "max"
        return
