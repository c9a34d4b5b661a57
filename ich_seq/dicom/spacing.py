"""Which steps between slices are the protocol's and which are gaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ich_seq.dicom.limits import LIMITS


@dataclass(frozen=True, slots=True)
class Gap:
    """Missing slices: `gap_mm` from one slice to the next, after `after_mm` from the first slice; how many fit in between."""

    after_mm: float
    gap_mm: float
    missing: int


@dataclass(frozen=True, slots=True)
class Spacing:
    """The steps of a stack along its normal: the median of those that are no gap, in mm, and the gaps.

    `variable` says that the spacing changes by protocol.
    """

    spacing_mm: float
    variable: bool
    gaps: tuple[Gap, ...]
    slices: int

    @property
    def missing_share(self) -> float:
        """Missing slices as a share of those that there should be."""
        missing = sum(gap.missing for gap in self.gaps)
        return missing / (missing + self.slices)

    @property
    def refused(self) -> bool:
        """Whether too much is missing: above 10 % of the slices, or a gap above 20 mm."""
        widest = max((gap.gap_mm for gap in self.gaps), default=0.0)
        return self.missing_share > LIMITS.missing_share or _above(widest, LIMITS.gap_mm)


def analyse_spacing(
    positions_mm: Sequence[float],
    thickness_mm: Sequence[float | None],
    instance_numbers: Sequence[int | None] = (),
) -> Spacing:
    """The spacing of slices at ascending positions along the normal, with each slice's SliceThickness where it has one.

    A step is a gap when it is above 20 mm, or above 1.5 times what is expected there: the thickness of its neighbours
    or the step of the nearest plateau (three slices or more at one spacing), whichever is larger. Where plateaus make
    up less than half of the stack (many slices are missing), the expected step is the thickness, else the smallest
    frequent step of which the others are multiples. A thickness above 20 mm is not believed: it would hide every gap.
    InstanceNumber is read for one thing only: where it leaps at every step, a plateau wider than the thickness is no protocol.

    Raises:
        ValueError: positions do not ascend.
    """
    if len(positions_mm) < 2:
        return Spacing(0.0, False, (), len(positions_mm))
    steps = np.diff(np.asarray(positions_mm, dtype=np.float64)).tolist()
    if min(steps) <= 0:
        raise ValueError("positions_mm must ascend")
    thick = [value if value and value <= LIMITS.gap_mm else None for value in thickness_mm]
    expected = _expected_steps(steps, thick)
    if _leaves_out_regularly(steps, thick, instance_numbers):
        expected = [max(a or 0.0, b or 0.0) for a, b in pairwise(thick)]
    gaps, regular = [], []
    for index, (step, usual) in enumerate(zip(steps, expected, strict=True)):
        if _above(step, LIMITS.gap_ratio * usual) or _above(step, LIMITS.gap_mm):
            missing = max(1, round(step / usual) - 1)
            gaps.append(Gap(float(positions_mm[index] - positions_mm[0]), step, missing))
        else:
            regular.append(step)
    typical = float(np.median(regular or expected))
    variable = any(not _equal(step, typical) for step in regular)
    return Spacing(typical, variable, tuple(gaps), len(positions_mm))


def _leaves_out_regularly(
    steps: list[float], thickness_mm: Sequence[float | None], instance_numbers: Sequence[int | None]
) -> bool:
    """Whether an even stack lacks every second slice or more.

    InstanceNumber leaps at each step, and four fifths of the steps are wider than SliceThickness accounts for; either alone may be
    the protocol's.
    """
    numbers = [number for number in instance_numbers if number is not None]
    if len(numbers) != len(steps) + 1 or None in thickness_mm:
        return False
    leaps = all(abs(b - a) > 1 for a, b in pairwise(numbers))
    thick = [max(a or 0.0, b or 0.0) for a, b in pairwise(thickness_mm)]
    wide = sum(step > LIMITS.gap_ratio * own for step, own in zip(steps, thick, strict=True))
    return leaps and wide >= 0.8 * len(steps)


def _expected_steps(steps: list[float], thickness_mm: Sequence[float | None]) -> list[float]:
    """What each step should be at most, before the factor 1.5."""
    thick = [max(a or 0.0, b or 0.0) for a, b in pairwise(thickness_mm)]
    plateaus = _protocol_plateaus(steps, _plateaus(steps), thick)
    covered = sum(stop - start for start, stop in plateaus)
    if 2 * covered < len(steps):
        known = [value for value in thickness_mm if value]
        usual = float(np.median(known)) if known else _base_step(steps)
        return [usual] * len(steps)
    expected = []
    for index in range(len(steps)):
        near = _nearest_plateaus(index, plateaus)
        expected.append(max([thick[index], *(float(np.median(steps[a:b])) for a, b in near)]))
    return expected


def _plateaus(steps: list[float]) -> list[tuple[int, int]]:
    """Runs of two or more equal steps as half-open ranges of indices."""
    runs: list[tuple[int, int]] = []
    start = 0
    for index in range(1, len(steps) + 1):
        if index == len(steps) or not _equal(steps[index], steps[start]):
            if index - start >= 2:
                runs.append((start, index))
            start = index
    return runs


def _protocol_plateaus(
    steps: list[float], plateaus: list[tuple[int, int]], thick: list[float]
) -> list[tuple[int, int]]:
    """Plateaus without those that look like slices missing at regular intervals.

    A coarse plateau is doubted where a plateau that is at least 1.5 times finer lies on both sides of it, and its
    SliceThickness does not account for it: protocols change spacing once between skull base and vertex, not back and
    forth.
    """

    def finer(coarse: float, others: list[tuple[int, int]]) -> bool:
        return any(steps[a] * LIMITS.gap_ratio < coarse for a, _ in others)

    kept = []
    for number, (start, stop) in enumerate(plateaus):
        coarse = steps[start]
        doubted = finer(coarse, plateaus[:number]) and finer(coarse, plateaus[number + 1 :])
        if not doubted or coarse <= LIMITS.gap_ratio * max(thick[start:stop]):
            kept.append((start, stop))
    return kept


def _nearest_plateaus(index: int, plateaus: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The plateau that holds a step, or the nearest ones on either side."""
    for start, stop in plateaus:
        if start <= index < stop:
            return [(start, stop)]
    before = [plateau for plateau in plateaus if plateau[1] <= index]
    after = [plateau for plateau in plateaus if plateau[0] > index]
    return before[-1:] + after[:1]


def _base_step(steps: list[float]) -> float:
    """The smallest frequent step of which four fifths of all steps are multiples; else the most frequent one."""
    clusters: list[list[float]] = []
    for step in sorted(steps):
        if clusters and _equal(step, clusters[-1][0]):
            clusters[-1].append(step)
        else:
            clusters.append([step])
    frequent = [float(np.median(c)) for c in clusters if len(c) >= max(3, len(steps) // 10)]
    for base in frequent:
        ratios = np.asarray(steps) / base
        fitting = (ratios > 0.9) & (np.abs(ratios - np.round(ratios)) <= 0.1)
        if fitting.mean() >= 0.8:
            return base
    largest = max(len(cluster) for cluster in clusters)
    return float(np.median(next(cluster for cluster in clusters if len(cluster) == largest)))


def _above(step: float, limit: float) -> bool:
    return step > limit + LIMITS.rounding_mm


def _equal(a: float, b: float) -> bool:
    return abs(a - b) <= max(LIMITS.same_position_mm, LIMITS.spacing_tolerance * max(a, b))
