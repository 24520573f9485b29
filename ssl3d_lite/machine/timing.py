"""How long work takes on a device, tried again and again."""

import time
from collections.abc import Callable

import torch


def now(device: str) -> float:
    """Seconds, when all work that was given to the device is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def times(work: Callable[[], object], device: str, seconds: float, least: int = 3) -> list[float]:
    """Seconds that ``work`` takes, again and again for about ``seconds``; sorted. The first try
    warms up and does not count."""
    work()
    taken, begin = [], now(device)
    while len(taken) < least or now(device) - begin < seconds:
        start = now(device)
        work()
        taken.append(now(device) - start)
    return sorted(taken)


def best(work: Callable[[], object], device: str, seconds: float) -> float:
    return times(work, device, seconds)[0]


def middle(work: Callable[[], object], device: str, seconds: float) -> float:
    taken = times(work, device, seconds)
    return taken[len(taken) // 2]
