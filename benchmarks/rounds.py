"""Several ways to do the same in turn, round after round: whatever else the machine does falls on all alike."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Spread:
    """The median of some values with their quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{_short(self.median)} ({_short(self.low)} to {_short(self.high)})"


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles; of one value itself, three times."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(middle, low, high)


def alternate(ways: Mapping[str, Callable[[], T]], rounds: int, warm_up: int = 1) -> dict[str, list[T]]:
    """What each way returned in each round, in which every way has its turn; those of the first `warm_up` rounds are dropped."""
    found: dict[str, list[T]] = {title: [] for title in ways}
    for turn in range(warm_up + rounds):
        for title, way in ways.items():
            value = way()
            if turn >= warm_up:
                found[title].append(value)
    return found


def ratios(baseline: Sequence[float], values: Sequence[float]) -> Spread:
    """How many times as fast as the baseline in the same round."""
    return spread([before / now for before, now in zip(baseline, values, strict=True)])


def _short(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
