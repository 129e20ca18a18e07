"""Durations counted in buckets: cheap to add to, and to add up over workers."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

# Seconds. Neighbours are at most a quarter apart, so no estimate within a bucket is further off.
_STEPS = ("1", "1.2", "1.5", "1.75", "2", "2.5", "3", "3.5", "4", "5", "6", "7.5", "9")
BOUNDS = (*(float(f"{step}e{power}") for power in range(-4, 1) for step in _STEPS), 10.0, 15.0, 20.0, 30.0, 60.0)


@dataclass(slots=True)
class Histogram:
    """How many durations were at most each of `BOUNDS` (and above the one before), their sum and the longest."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0
    longest: float = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds
        if seconds > self.longest:  # noqa: PLR1730  # a call costs more, and each request is here three times
            self.longest = seconds

    def merge(self, other: Self) -> None:
        """Count all of another one's durations."""
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.total += other.total
        self.longest = max(self.longest, other.longest)

    def since(self, before: Self) -> Self:
        """Those that were counted after an earlier state of it. How long their longest was is not known exactly.

        What was lost in between, with the file of a worker that ended, is not counted.
        """
        counts = [max(0, now - then) for now, then in zip(self.counts, before.counts, strict=True)]
        return type(self)(counts, max(0.0, self.total - before.total), self.longest)

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def above(self, bound: float) -> int:
        """How many were longer than one of `BOUNDS`: exact."""
        return sum(self.counts[BOUNDS.index(bound) + 1 :])

    def quantile(self, share: float) -> float | None:
        """The duration that this share did not exceed, estimated within its bucket; None if there were none."""
        rank = share * self.count
        before, lower = 0, 0.0
        for bound, count in zip((*BOUNDS, self.longest), self.counts, strict=True):
            if count and before + count >= rank:
                return min(lower + (bound - lower) * (rank - before) / count, self.longest)
            before, lower = before + count, bound
        return None


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """All of them as one."""
    together = Histogram()
    for histogram in histograms:
        together.merge(histogram)
    return together
