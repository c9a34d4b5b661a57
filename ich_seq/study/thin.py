"""Thin slices averaged to the thickness that the model knows, as they are read: a scan over a scan.

Published heads are read in slices of about 5 mm, and so are those that models are trained on: a slice of 0.6 mm is noisier than any of
them, and a sequence of a thousand longer than any. Training and `evaluate` read single slices of a table, each with labels of its own:
they average nothing, and stay as they are.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np

from ich_seq.dicom import Code, Finding
from ich_seq.dicom.findings import finding, gather
from ich_seq.dicom.verdict import refusal_by
from ich_seq.errors import IchSeqError
from ich_seq.study.inputs import Scan
from ich_seq.study.result import SourceFormat
from ich_seq.volume import Slice, SliceStack

MANY_SLICES = 150
"""A series of more slices than this is averaged if they are thin: 750 mm, were they of the model's thickness."""
THIN_MM = 2.5
"""Slices that lie closer than this are thin: of two and more the model's thickness can be made. Source: half of `MODEL_MM`."""
MODEL_MM = 5.0
"""Thickness of the slices that models have seen. Source: RSNA 2019, where most series are of 5 mm."""


def as_the_model_knows(scan: Scan) -> Scan:
    """The scan itself; where it has more than 150 slices closer than 2.5 mm, their means over about 5 mm."""
    stack = scan.stack
    if len(scan) <= MANY_SLICES or stack.spacing_mm >= THIN_MM:
        return scan
    return ThinScan(scan, plan_groups(scan.positions_mm, stack))


def lowest_mm(scan: Scan) -> float:
    """Position along the normal of the lowest slice that was read."""
    return scan.scan.positions_mm[0] if isinstance(scan, ThinScan) else scan.positions_mm[0]


def averaged_uids(scan: Scan) -> Sequence[tuple[str, ...]]:
    """Of each slice the names of the thin ones that it is the mean of, feet to head; none where it is as it was read."""
    return scan.averaged_uids if isinstance(scan, ThinScan) else [()] * len(scan)


def plan_groups(positions_mm: Sequence[float], stack: SliceStack) -> list[range]:
    """Which slices are averaged: ranges of indices, feet to head, that no gap interrupts.

    Each stretch between gaps, half a spacing longer on either side, is cut into equal parts as near to 5 mm as can be, counted
    from its feet, and a slice belongs to the part in which its position lies: no part is a remainder, and nothing but positions
    decides.
    """
    groups = []
    for stretch in _between_gaps(positions_mm, stack):
        place = np.asarray(positions_mm)[stretch.start : stretch.stop] - positions_mm[stretch.start]
        length_mm = float(place[-1]) + stack.spacing_mm
        parts = max(1, round(length_mm / MODEL_MM))
        part = np.floor((place + stack.spacing_mm / 2) * (parts / length_mm)).astype(int)
        cuts = (np.flatnonzero(np.diff(part)) + 1 + stretch.start).tolist()
        groups += [range(a, b) for a, b in zip([stretch.start, *cuts], [*cuts, stretch.stop], strict=True)]
    return groups


class ThinScan:
    """The means of groups of thin slices in HU (float32), feet to head; a `Scan` that keeps no more than one sum in memory.

    A group is called after its middle slice (the lower of two), whose position it has: an image that can be found in a PACS; all
    members are in `averaged_uids`. Padding is -1024 HU in each slice and so in their mean. A slice that cannot be decoded ends
    its group; gaps, coverage and digest are those of the thin slices. Pixels are averaged as they lie above each other: with a
    tilted gantry they are up to 5 mm x tan(tilt) apart in the plane, at 11 degrees 1 mm, which is one pixel of the network's.
    """

    def __init__(self, scan: Scan, groups: Sequence[range]) -> None:
        self.scan = scan
        self._groups = tuple(groups)
        self._read: list[range] = []

    def __len__(self) -> int:
        return len(self._groups)

    def __getitem__(self, index: int) -> Slice:
        """The mean of one group. Raises as the thin scan does."""
        total = _Sum()
        for member in self._groups[index]:
            total.add(self.scan[member])
        return total.mean()

    def read(self) -> Iterator[tuple[int, Slice]]:
        """Number and mean of every group of which a slice can be read, each slice read once."""
        self._read = []
        planned = {member: group for group in self._groups for member in group}
        members, total = range(0), _Sum()
        for index, hu in self.scan.read():
            if members and (index != members.stop or planned[index] != planned[members.start]):
                yield self._done(members), total.mean()
                members, total = range(0), _Sum()
            members = range(members.start if members else index, index + 1)
            total.add(hu)
        if members:
            yield self._done(members), total.mean()

    def _done(self, members: range) -> int:
        self._read.append(members)
        return len(self._read) - 1

    def settled(self) -> Scan:
        """The scan of the groups that `read` gave, but for those in `left_out`: this one where there is nothing to be said.

        Raises:
            SeriesRefusedError: no group is left.
        """
        settled = self.scan.settled()
        if settled is self.scan:
            return self
        doubted, gone = self.scan.left_out, self.left_out
        starts = np.cumsum([0, *(len(set(members) - doubted) for members in self._read)]).tolist()
        groups = [range(a, b) for number, (a, b) in enumerate(pairwise(starts)) if number not in gone]
        if not groups:
            raise refusal_by(finding(Code.E_NO_SLICE_LEFT))
        return ThinScan(settled, groups)

    @property
    def left_out(self) -> frozenset[int]:
        """The groups that `read` gave of which a slice does not fit the others: it is in their mean."""
        doubted = self.scan.left_out
        return frozenset(number for number, members in enumerate(self._read) if not doubted.isdisjoint(members))

    @property
    def source_format(self) -> SourceFormat:
        """As the thin scan's."""
        return self.scan.source_format

    @property
    def study_instance_uid(self) -> str:
        """As the thin scan's."""
        return self.scan.study_instance_uid

    @property
    def series_instance_uid(self) -> str:
        """As the thin scan's."""
        return self.scan.series_instance_uid

    @property
    def sop_instance_uids(self) -> tuple[str, ...]:
        """Of the middle slice of each group."""
        return tuple(self.scan.sop_instance_uids[middle] for middle in self._middles)

    @property
    def averaged_uids(self) -> tuple[tuple[str, ...], ...]:
        """Of all slices of each group, feet to head."""
        names = self.scan.sop_instance_uids
        return tuple(names[group.start : group.stop] for group in self._groups)

    @property
    def positions_mm(self) -> tuple[float, ...]:
        """Position of the middle slice of each group along the normal in mm."""
        return tuple(self.scan.positions_mm[middle] for middle in self._middles)

    @property
    def image_positions_patient(self) -> tuple[tuple[float, float, float], ...]:
        """Of the middle slice of each group."""
        corners = self.scan.image_positions_patient
        return tuple(corners[middle] for middle in self._middles)

    @property
    def pixel_spacing_mm(self) -> tuple[float, float]:
        """As the thin scan's."""
        return self.scan.pixel_spacing_mm

    @property
    def stack(self) -> SliceStack:
        """As the thin scan's, but for the step: the median one from group to group that is no gap."""
        thin = self.scan.stack
        starts = {stretch.start for stretch in _between_gaps(self.scan.positions_mm, thin)}
        steps = [
            step
            for step, group in zip(np.diff(self.positions_mm).tolist(), self._groups[1:], strict=True)
            if group.start not in starts
        ]
        spacing_mm = float(np.median(steps)) if steps else 0.0
        return SliceStack(thin.rows, thin.columns, spacing_mm, thin.coverage_mm, thin.tilt_deg, thin.gaps)

    @property
    def findings(self) -> list[Finding]:
        """As the thin scan's, and that it was averaged."""
        thin, mean = self.scan.stack, self.stack
        what = f"{len(self.scan)} slices {thin.spacing_mm:.2f} mm apart as {len(self)} of {mean.spacing_mm:.1f} mm"
        return gather([*self.scan.findings, finding(Code.N_THIN_SERIES, what)])

    @property
    def refusal(self) -> IchSeqError | None:
        """As the thin scan's."""
        return self.scan.refusal

    def pixel_digest(self) -> str:
        """As the thin scan's: over HU and geometry of the thin slices."""
        return self.scan.pixel_digest()

    @cached_property
    def _middles(self) -> tuple[int, ...]:
        return tuple((group.start + group.stop - 1) // 2 for group in self._groups)


class _Sum:
    """Slices added up in float32: exact for whole HU, of which 2^24 / 2^15 = 512 may be added without rounding."""

    def __init__(self) -> None:
        self._total: Slice | None = None
        self._count = 0

    def add(self, hu: Slice) -> None:
        """One more slice, which stays as it is."""
        if self._total is None:
            self._total = hu.astype(np.float32)
        else:
            self._total += hu
        self._count += 1

    def mean(self) -> Slice:
        """The mean of the slices so far."""
        if self._total is None:
            raise ValueError("there is no mean of no slices")
        return self._total / np.float32(self._count)


def _between_gaps(positions_mm: Sequence[float], stack: SliceStack) -> list[range]:
    """The stretches of a stack that no gap interrupts, as ranges of indices."""
    place = np.asarray(positions_mm) - positions_mm[0]
    ends = [int(np.argmin(np.abs(place - after_mm))) + 1 for after_mm, _ in stack.gaps]
    return [range(a, b) for a, b in zip([0, *ends], [*ends, len(positions_mm)], strict=True)]
