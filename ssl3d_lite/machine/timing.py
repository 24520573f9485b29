"""How long work takes on a device: run again and again, the first run left out."""

import time
from collections.abc import Callable

import torch


def now(device: str) -> float:
    """Seconds, when all work that was given to the device is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def repeated_times(
    work: Callable[[], object], device: str, seconds: float, least: int = 3
) -> list[float]:
    """Seconds that ``work`` takes, run again and again for about ``seconds``; sorted. The first try
    warms up and does not count, unless it takes so long that it is the only one."""
    begin = now(device)
    work()
    if (first := now(device) - begin) > seconds:
        return [first]
    taken: list[float] = []
    begin = now(device)
    while len(taken) < least or now(device) - begin < seconds:
        start = now(device)
        work()
        taken.append(now(device) - start)
    return sorted(taken)


def shortest_time(work: Callable[[], object], device: str, seconds: float) -> float:
    """Seconds that ``work`` takes at its fastest."""
    return repeated_times(work, device, seconds)[0]


def median_time(work: Callable[[], object], device: str, seconds: float) -> float:
    """Seconds that ``work`` takes as a rule."""
    taken = repeated_times(work, device, seconds)
    return taken[len(taken) // 2]
