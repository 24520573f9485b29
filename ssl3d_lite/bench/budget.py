"""The time that a bench may take, on any machine."""

import time
from dataclasses import dataclass, field


@dataclass
class Budget:
    """Seconds that may be spent, and how many are left."""

    seconds: float
    started: float = field(default_factory=time.perf_counter)

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self.started

    @property
    def left(self) -> float:
        """Seconds that are left; 0 if the time is over."""
        return max(0.0, self.seconds - self.spent)

    def part(self, share: float, among: int = 1) -> float:
        """A share of all seconds, or as much as is left for each of so many that still come."""
        return min(share * self.seconds, self.left / among)
