"""What one row of `make bench` says."""

from dataclasses import dataclass, field

from benchmarks.rounds import Spread


@dataclass(frozen=True)
class Row:
    """One measured thing: median and quartiles over the rounds in which it had its turn.

    `state` says whether it was warm, with how many threads and slices at once; `times` is how many times as fast as its part's first
    row in the same round; `share` is of the measured matrix peak of its precision.
    """

    title: str
    value: Spread
    unit: str
    state: str
    rounds: int
    times: Spread | None = None
    peak_mb: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class Part:
    """Rows that belong together, and what a reader must know of them; the first row is the baseline where any row has `times`."""

    title: str
    words: str
    rows: list[Row] = field(default_factory=list)
    note: str = ""
