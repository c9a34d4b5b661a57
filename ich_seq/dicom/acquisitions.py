"""Several images at one place, or two stacks in each other: copies, acquisitions, time points."""

import math
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

from ich_seq.dicom.codes import Code
from ich_seq.dicom.copies import grouped, image_digest, readable
from ich_seq.dicom.findings import Finding, SeriesFaultError, finding
from ich_seq.dicom.geometry import position_of
from ich_seq.dicom.header import SliceHeader
from ich_seq.dicom.hints import seconds_of
from ich_seq.dicom.limits import LIMITS
from ich_seq.dicom.options import ReadOptions
from ich_seq.dicom.spacing import Spacing, analyse_spacing

Slices = Sequence[SliceHeader]
Normal = Float64[np.ndarray, "3"]
_USUAL_MM = 5.0  # most heads are read in slices so far apart
Clock = Callable[[SliceHeader], float | None]


def one_at_each_position(
    slices: list[SliceHeader], normal: Float64[np.ndarray, "3"], found: list[Finding], options: ReadOptions
) -> list[SliceHeader]:
    """One slice at each position, given slices in order: equal images once, of two acquisitions the better one.

    Images of one position that differ are told apart by AcquisitionNumber, AcquisitionTime or ContentTime; the acquisition that is
    taken must be complete. With `first_time_point` it is the first in time instead.

    Raises:
        SeriesFaultError: all slices lie at one position, or nothing tells the images apart.
    """
    places = _by_position(slices, normal)
    conflicts: list[str] = []
    dropped: set[int] = set()
    for group in (group for group in places if len(group) > 1):
        able = readable(group, found)
        dropped.update(id(header) for header in group if not any(header is kept for kept in able))
        if len({image_digest(header) for header in able}) > 1:
            conflicts += [header.name for header in able]
        elif len(able) > 1:
            found.append(finding(Code.N_DUPLICATE_SLICE, files=[header.name for header in able[1:]]))
            dropped.update(id(header) for header in able[1:])
    slices = [header for header in slices if id(header) not in dropped]
    if not slices:
        raise SeriesFaultError(Code.E_NO_SLICE_LEFT)
    if not conflicts:
        return _apart(slices, normal, found)
    if options.first_time_point:
        return _first_time_point(slices, normal, found)
    if len(places) == 1:
        raise SeriesFaultError(Code.E_NO_VOLUME)
    for parts in (_by_acquisition_number(slices), *_by_time(slices, normal)):
        several = sum(2 * len(part) >= len(places) for part in parts) > 1
        whole = [part for part in parts if _is_whole(part, slices, normal)]
        if several and whole:
            return _best(whole, slices, found)
    raise SeriesFaultError(Code.E_CONFLICTING_SLICES, files=conflicts)


def _apart(slices: list[SliceHeader], normal: Normal, found: list[Finding]) -> list[SliceHeader]:
    """The better of two whole acquisitions that lie in each other without sharing a position; all slices where there are none."""
    by_time = _at_the_longest_pause(slices)
    for parts in (_by_acquisition_number(slices), *by_time, _by_repeated_number(slices), _by_turns(slices, normal)):
        whole = [part for part in parts if len(parts) > 1 and _is_whole(part, slices, normal)]
        if len(whole) > 1 and all(_leaves_nothing_out(part, slices, normal) for part in whole):
            return _best(whole, slices, found)
    return slices


def _leaves_nothing_out(part: Slices, slices: Slices, normal: Normal) -> bool:
    """Whether a part could stand alone: its steps are no wider than 1.5 times its slices are thick.

    Odd slices after even ones are one scan. Where the thickness is unknown, uneven steps of all slices betray two scans.
    """
    thick = [header.slice_thickness_mm for header in part if header.slice_thickness_mm is not None]
    if not thick:
        together = _spacing(slices, normal)
        return together.variable or bool(together.gaps)
    return _spacing(part, normal).spacing_mm <= LIMITS.gap_ratio * float(np.median(thick))


def _best(whole: Sequence[list[SliceHeader]], slices: Slices, found: list[Finding]) -> list[SliceHeader]:
    """The acquisition with the most slices; of equal ones the first, which is the one before contrast."""
    best = max(whole, key=len)
    kept = {id(header) for header in best}
    others = [header.name for header in slices if id(header) not in kept]
    found.append(finding(Code.W_MULTI_ACQUISITION, f"{len(best)} of {len(slices)} slices", files=others))
    return best


def _first_time_point(slices: Slices, normal: Normal, found: list[Finding]) -> list[SliceHeader]:
    """The images of the first time point. Raises SeriesFaultError where no element says which they are."""
    groups = _by_position(slices, normal)
    for clock in (_temporal_position, _acquisition_seconds, _content_seconds):
        parts = _rounds(slices, groups, clock)
        if parts and all(len(group) == 1 for group in _by_position(parts[0], normal)):
            kept = {id(header) for header in parts[0]}
            others = [header.name for header in slices if id(header) not in kept]
            found.append(finding(Code.W_FIRST_TIME_POINT, f"{len(parts[0])} of {len(slices)} images", files=others))
            return parts[0]
    raise SeriesFaultError(
        Code.E_NO_VOLUME if len(groups) == 1 else Code.E_CONFLICTING_SLICES, "no time in the headers"
    )


def _temporal_position(header: SliceHeader) -> float | None:
    return None if header.hints.temporal_position is None else float(header.hints.temporal_position)


def _acquisition_seconds(header: SliceHeader) -> float | None:
    return seconds_of(header.acquisition_time)


def _content_seconds(header: SliceHeader) -> float | None:
    return seconds_of(header.content_time)


def _by_acquisition_number(slices: Slices) -> list[list[SliceHeader]]:
    """The slices of each AcquisitionNumber, the smallest first; those without one before all."""
    groups = grouped(slices, lambda header: header.acquisition_number)
    return [groups[number] for number in sorted(groups, key=lambda n: (n is not None, n or 0))]


def _by_time(slices: Slices, normal: Normal) -> Iterator[list[list[SliceHeader]]]:
    groups = _by_position(slices, normal)
    for clock in (_acquisition_seconds, _content_seconds):
        yield _rounds(slices, groups, clock)


def _rounds(slices: Slices, groups: Sequence[Slices], clock: Clock) -> list[list[SliceHeader]]:
    """The slices in as many rounds as there are images at the fullest position, each round over before the next begins.

    Empty where a slice has no time, or where the times do not part the images so.
    """
    times = {id(header): clock(header) for header in slices}
    known = {key: time for key, time in times.items() if time is not None}
    if len(known) < len(times):
        return []
    count = max(len(group) for group in groups)
    full = [sorted(known[id(header)] for header in group) for group in groups if len(group) == count]
    limits = []
    for turn in range(1, count):
        before, after = max(group[turn - 1] for group in full), min(group[turn] for group in full)
        if before >= after:
            return []
        limits.append((before + after) / 2)
    rounds: list[list[SliceHeader]] = [[] for _ in range(count)]
    for header in slices:
        rounds[bisect(limits, known[id(header)])].append(header)
    return rounds


def _at_the_longest_pause(slices: Slices) -> Iterator[list[list[SliceHeader]]]:
    """The slices before and after the longest pause between their times, for each kind of time."""
    for clock in (_acquisition_seconds, _content_seconds):
        times = [time for header in slices if (time := clock(header)) is not None]
        steps = [(b - a, (a + b) / 2) for a, b in pairwise(sorted(times))]
        if len(times) < len(slices) or not steps or max(steps)[0] == 0:
            continue
        _, middle = max(steps)
        early = [header for header, time in zip(slices, times, strict=True) if time < middle]
        yield [early, [header for header, time in zip(slices, times, strict=True) if time >= middle]]


def _by_repeated_number(slices: Slices) -> list[list[SliceHeader]]:
    """Where every InstanceNumber stands equally often: of each number the lowest slices, then the next ones; else one part.

    Two series that an export merged under one UID each count from 1.
    """
    numbers = grouped(slices, lambda header: header.instance_number)
    times = {len(group) for group in numbers.values()}
    if None in numbers or len(times) > 1:
        return [list(slices)]
    rank = {id(header): place for group in numbers.values() for place, header in enumerate(group)}
    return [[header for header in slices if rank[id(header)] == place] for place in range(times.pop())]


def _by_turns(slices: Slices, normal: Normal) -> list[list[SliceHeader]]:
    """Every second slice and the others, where two steps take turns from end to end and together are one of a usual protocol.

    No scan has such steps; two scans of one protocol have, that lie in each other. Else one part.
    """
    steps = np.diff([float(position_of(header) @ normal) for header in slices])
    turns = [steps[::2], steps[1::2]]
    if len(steps) < 2 * LIMITS.few_slices or max(np.ptp(each) for each in turns) > 2 * LIMITS.same_position_mm:
        return [list(slices)]
    one, other = (float(np.median(each)) for each in turns)
    if abs(one - other) <= 2 * LIMITS.same_position_mm or one + other > LIMITS.gap_ratio * _USUAL_MM:
        return [list(slices)]
    return [list(slices[::2]), list(slices[1::2])]


def _is_whole(part: Slices, slices: Slices, normal: Normal) -> bool:
    """Whether a part of the slices is a stack without a gap, from the lowest of all slices to the highest, within 1.5 steps."""
    if len(part) < 2 or any(len(group) > 1 for group in _by_position(part, normal)):
        return False
    spacing = _spacing(part, normal)
    reach = LIMITS.gap_ratio * spacing.spacing_mm
    low, high = _ends(part, normal)
    lowest, highest = _ends(slices, normal)
    return not spacing.gaps and low - lowest < reach and highest - high < reach


def _spacing(part: Slices, normal: Normal) -> Spacing:
    positions = [float(position_of(header) @ normal) for header in part]
    return analyse_spacing(positions, [header.slice_thickness_mm for header in part])


def _ends(slices: Slices, normal: Normal) -> tuple[float, float]:
    """The lowest and the highest position of ordered slices."""
    return float(position_of(slices[0]) @ normal), float(position_of(slices[-1]) @ normal)


def _by_position(slices: Slices, normal: Normal) -> list[list[SliceHeader]]:
    """Ordered slices in groups that are less than 0.1 mm apart."""
    groups: list[list[SliceHeader]] = []
    last = -math.inf
    for header in slices:
        place = float(position_of(header) @ normal)
        if place - last < LIMITS.same_position_mm:
            groups[-1].append(header)
        else:
            groups.append([header])
            last = place
    return groups
