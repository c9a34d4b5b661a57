"""Whether values are those of a head in HU: how much is air, fat, soft tissue and bone, in a series and from slice to slice.

The header says how stored values become HU, and a header may lie. The shares below were measured on the real series at hand, on the
synthetic heads (64 to 512 pixels) and on both with faults put in; `python -m benchmarks.hu_plausibility` measures them again. A lost
or doubled intercept, inverted or byte-swapped values, a wrong sign, values wrapped around 12 bits and a doubled or halved slope all
leave the limits of a series. Not seen are: shifts of some 50 HU and less; a wrong slope or a shift of 100 HU in a single slice near
the vertex, where there is little but air; values that were clipped but kept air and bone (clipped air is W-NO-AIR in NIfTI); another
body part that has a head's shares, such as a neck. A head phantom of plastic is let pass, with a score: it has hardly any soft tissue
(.09 of the body, a head has .37 to .67), but limits that refused it would refuse heads that were scanned in part. One of water is
refused.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float32, Float64

from ich_seq.dicom.codes import Code
from ich_seq.dicom.findings import Finding, finding
from ich_seq.dicom.limits import LIMITS

CLASSES = ("below air", "air", "fat", "soft tissue", "dense", "bone")
"""What HU below -1100, -800, -20, 90 and 300, and from 300 up, are taken for."""
_EDGES_HU = tuple(np.float32(edge) for edge in (-1100, -800, -20, 90, 300))
_IMAGE, _BODY = (0, 1), (2, 3, 4, 5)

_Limits = tuple[tuple[float, float], ...]
_USUAL: _Limits = ((0, 0.02), (0.15, 0.95), (0.03, 0.55), (0.06, 0.90), (0, 0.25), (0.04, 0.40))
_POSSIBLE: _Limits = ((0, 0.10), (0.05, 0.985), (0.01, 0.65), (0.04, 0.97), (0, 0.35), (0.02, 0.50))
# Of single slices the vertex has no bone, or hardly anything but skin; those with a fifth of body or more are none.
_POSSIBLE_ALONE: _Limits = ((0, 0.10), (0.05, 1), (0.01, 1), (0, 1), (0, 0.35), (0, 0.60))
_MIDDLE = 0.20
_POSSIBLE_MIDDLE: _Limits = ((0, 0.10), (0.05, 1), (0.01, 0.70), (0.03, 1), (0, 0.35), (0, 0.60))


@dataclass(frozen=True, slots=True)
class HuCounts:
    """Pixels of one slice in each of `CLASSES`, padding left out."""

    pixels: tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class SliceValues:
    """What is compared of neighbouring slices.

    `stored_as` is how the header makes HU of stored values, `field_mm` its pixel spacing; both need only be equal or not.
    """

    counts: HuCounts
    stored_as: Hashable
    field_mm: Hashable


_NO_BODY, _A_BODY = 0.005, 0.05
"""Shares of an image that are no body, and surely one."""


def count_hu(hu: Float32[np.ndarray, "y x"], padding_pixels: int) -> HuCounts:
    """The classes of one slice, whose padding is -1024 HU already: 0.5 ms for 512 x 512."""
    a, b, c, d, e = (int(np.count_nonzero(hu < edge)) for edge in _EDGES_HU)
    return HuCounts((a, b - a - padding_pixels, c - b, d - c, e - d, hu.size - e))


def judge(slices: Sequence[HuCounts]) -> Finding | None:
    """E-HU-IMPLAUSIBLE, W-HU-IMPLAUSIBLE or nothing for the slices of one series.

    Each share has a range that heads have (outside: a warning) and a wider one that no fault of the rescale was seen to keep
    (outside: refused). What is below air and air are shares of the image, the others of what is neither. Fewer slices than
    `LIMITS.few_slices` are refused only outside a range that holds for any slice of a head, and never warned of.
    """
    if not slices:
        return None
    few = len(slices) < LIMITS.few_slices
    if outside := _outside(slices, _possible_alone(slices) if few else _POSSIBLE):
        return finding(Code.E_HU_IMPLAUSIBLE, outside)
    if not few and (outside := _outside(slices, _USUAL)):
        return finding(Code.W_HU_IMPLAUSIBLE, outside)
    return None


def is_usual(slices: Sequence[HuCounts]) -> bool:
    """Whether every share is in the range that heads have: what is asked of a series that does not say how to get HU."""
    return bool(slices) and not _outside(slices, _USUAL)


def rescale_outliers(slices: Sequence[SliceValues]) -> list[int]:
    """The slices whose values do not go on from their neighbours', by index: a rescale that is wrong there explains it.

    The distance of two slices is half the sum of the differences of their shares: 0.15 at most between neighbours of the real and
    synthetic heads, across gaps too; 0.36 and more where the intercept of one is lost or doubled. Above 0.30 the values do not go on;
    above 0.15 where the two headers differ in how they make HU, too. Between such steps the run that is plausible, or else the
    longest, is believed; another run is believed where it goes on from the nearest slice that is.
    """
    hollow = _hollow(slices)
    runs = _runs(slices)
    if len(runs) < 2:
        return hollow
    trusted = max(runs, key=lambda run: (_outside(_counts(slices, run), _POSSIBLE_ALONE) == "", len(run), -run[0]))
    believed = set(trusted)
    for run in sorted(runs, key=lambda run: min(abs(run[0] - trusted[-1]), abs(run[-1] - trusted[0]))):
        if run is trusted:
            continue
        above = run[0] > trusted[0]
        edge = run[0] if above else run[-1]
        nearest = max(i for i in believed if i < edge) if above else min(i for i in believed if i > edge)
        if _goes_on(slices[edge], slices[nearest]):
            believed.update(run)
    return [index for index in range(len(slices)) if index not in believed or index in hollow]


def _hollow(slices: Sequence[SliceValues]) -> list[int]:
    """Slices of air alone between two that hold a body: where the field is wide, air is most of the image, and no step shows."""
    body = [sum(one.counts.pixels[2:]) / max(1, sum(one.counts.pixels)) for one in slices]
    inside = range(1, len(slices) - 1)
    return [i for i in inside if body[i] < _NO_BODY and min(body[i - 1], body[i + 1]) > _A_BODY]


def _runs(slices: Sequence[SliceValues]) -> list[list[int]]:
    """Indices in runs of slices of which each goes on from the one before."""
    runs = [[0]] if slices else []
    for index, (before, here) in enumerate(pairwise(slices), start=1):
        if _goes_on(before, here):
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs


def _goes_on(a: SliceValues, b: SliceValues) -> bool:
    image = a.field_mm == b.field_mm
    distance = float(np.abs(_composition(a.counts, image) - _composition(b.counts, image)).sum()) / 2
    return distance <= (LIMITS.hu_step if a.stored_as == b.stored_as else LIMITS.hu_step_other_rescale)


def _composition(counts: HuCounts, image: bool) -> Float64[np.ndarray, "6"]:
    """Shares of the image; where fields of view differ without the air, of which a larger one has more."""
    values = np.array(counts.pixels, np.float64)
    if not image:
        values[1] = 0.0
    return values / max(1.0, values.sum())


def _possible_alone(slices: Sequence[HuCounts]) -> _Limits:
    """The limits of few slices, by whether they hold more than a vertex."""
    total = np.array([counts.pixels for counts in slices], np.float64).sum(axis=0)
    return _POSSIBLE_MIDDLE if total[list(_BODY)].sum() >= _MIDDLE * total.sum() else _POSSIBLE_ALONE


def _counts(slices: Sequence[SliceValues], run: Sequence[int]) -> list[HuCounts]:
    return [slices[index].counts for index in run]


def _outside(slices: Sequence[HuCounts], limits: _Limits) -> str:
    """The shares that are outside their limits, in words; empty where there is none, or hardly anything in the image."""
    total = np.array([counts.pixels for counts in slices], np.float64).sum(axis=0)
    image, body = total.sum(), total[list(_BODY)].sum()
    words: list[str] = []
    if not image:
        return ""
    for index, (lowest, highest) in enumerate(limits):
        whole = image if index in _IMAGE else body
        if index in _BODY and body <= LIMITS.least_body * image:
            continue
        share = total[index] / whole
        if not lowest <= share <= highest:
            words.append(f"{CLASSES[index]} {share:.1%} of the {'image' if index in _IMAGE else 'body'}")
    return ", ".join(words)
