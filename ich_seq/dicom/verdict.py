"""What the values of a series, once read, say of it: slices that do not fit the others, and whether it may be scored at all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ich_seq.dicom.codes import Code, Severity
from ich_seq.dicom.findings import Finding, finding, gather
from ich_seq.dicom.limits import LIMITS
from ich_seq.dicom.plausibility import HuCounts, SliceValues, is_usual, judge, rescale_outliers
from ich_seq.dicom.series import Series
from ich_seq.errors import SeriesRefusedError

_BY_VALUES = frozenset({Code.E_HU_IMPLAUSIBLE, Code.W_HU_IMPLAUSIBLE, Code.E_NO_RESCALE, Code.E_NOT_HEAD})


def outliers(series: Series, counts: Mapping[int, HuCounts]) -> list[int]:
    """The slices whose values do not fit their neighbours', by index; `counts` are of those that were read and hold an image.

    None where they are too many to be left out and all slices together are implausible: then the whole series is at fault.
    """
    read = sorted(counts)
    values = []
    for index in read:
        header = series.headers[index]
        pixels = header.pixels
        bits = (pixels.bits_stored, pixels.high_bit, pixels.pixel_representation)
        stored_as = (header.rescale_slope, header.rescale_intercept, header.modality_lut, bits)
        values.append(SliceValues(counts[index], stored_as, header.pixel_spacing_mm))
    found = [read[place] for place in rescale_outliers(values)]
    if len(found) > LIMITS.missing_share * len(read):
        verdict = judge(list(counts.values()))
        return [] if verdict is not None and verdict.severity is Severity.REFUSED else found
    return found


def without_outliers(series: Series, lost: Mapping[int, Finding], doubted: Sequence[int]) -> Series:
    """The series without the slices that cannot be read (and why) and those whose values are doubted; its gaps are judged again."""
    found = list(lost.values())
    if doubted:
        names = [series.headers[index].name for index in doubted]
        places = [series.positions_mm[index] for index in doubted]
        found.append(finding(Code.W_RESCALE_OUTLIER, files=names, positions_mm=places))
    return series.without([*lost, *doubted], found)


def with_verdict(series: Series, counts: Sequence[HuCounts]) -> Series:
    """The series as it is where its values are those of a head, else with a warning or refused, whatever the user lets pass.

    A series without a rescale must have the shares that heads have. One whose header names another body part is refused where the
    shares are unusual, or where it covers more than a head.
    """
    known = [item for item in series.findings if item.code not in _BY_VALUES]
    codes = {item.code for item in known}
    verdict = judge(counts)
    if not counts:
        return series
    if Code.W_MAYBE_NOT_HEAD in codes and (verdict is not None or Code.W_COVERAGE in codes):
        detail = _detail(verdict) if verdict is not None else f"{series.coverage_mm:.0f} mm covered"
        return _refused(series, finding(Code.E_NOT_HEAD, detail), known)
    if Code.W_NO_RESCALE in codes and not is_usual(counts):
        others = [item for item in known if item.code is not Code.W_NO_RESCALE]
        return _refused(series, finding(Code.E_NO_RESCALE), others)
    if verdict is None:
        return series
    if verdict.severity is Severity.REFUSED:
        return _refused(series, verdict, known)
    return replace(series, findings=gather([*known, verdict]))


def refusal_by(found: Finding) -> SeriesRefusedError:
    """The error that says what was found and the way out."""
    return SeriesRefusedError(f"{str(found).rstrip('.')}. {found.code.remedy}", code=found.code.value)


def _refused(series: Series, found: Finding, known: Sequence[Finding]) -> Series:
    return replace(series, findings=gather([*known, found]), refusal=refusal_by(found))


def _detail(verdict: Finding) -> str:
    """The shares of a verdict, without its sentence."""
    return verdict.message.removeprefix(verdict.code.text.rstrip(".")).removeprefix(": ")
