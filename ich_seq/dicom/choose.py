"""Which series of a study is scored, and why the others are not."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ich_seq.dicom.codes import Code
from ich_seq.dicom.content import has_contrast, is_reformat, is_sharp_kernel
from ich_seq.dicom.findings import Finding, finding, gather
from ich_seq.dicom.series import Series
from ich_seq.errors import IchSeqError, IncompleteSeriesError, SeriesRefusedError

_COVERAGE_MM = 100.0
_THINNEST_MM = 2.5
_THICKEST_MM = 6.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One series of a study: whether it was chosen, and the reason in words.

    `description` is SeriesDescription as it stands in the file: protected text, to be shown only where the user asked
    for it.
    """

    series_instance_uid: str
    description: str = field(repr=False)
    slices: int
    chosen: bool
    reason: str


@dataclass(frozen=True, slots=True)
class StudyCandidates:
    """One study: its CT series, the one to score, and why it must not be scored.

    `chosen` with an `IncompleteSeriesError` as `refusal` may be scored when the user allows incomplete series; with
    any other refusal there is no `chosen`, and `findings` say what was noticed of the best series, or of the files
    where no series is left.
    """

    study_instance_uid: str
    chosen: Series | None
    candidates: list[Candidate]
    refusal: IchSeqError | None
    findings: Sequence[Finding] = ()


@dataclass(frozen=True, slots=True)
class _Merit:
    """What speaks for a series, in order of weight; each is better when larger."""

    readable: tuple[int, str]
    contrast: tuple[int, str]
    original: tuple[int, str]
    kernel: tuple[int, str]
    coverage: tuple[int, str]
    thickness: tuple[int, str]
    complete: tuple[int, str]
    slices: tuple[int, str]

    def ranked(self) -> tuple[tuple[int, str], ...]:
        """Value and words of each criterion, the weightiest first."""
        return (
            self.readable,
            self.contrast,
            self.original,
            self.kernel,
            self.coverage,
            self.thickness,
            self.complete,
            self.slices,
        )


def choose_series(all_series: Sequence[Series], series_uid: str | None = None) -> StudyCandidates:
    """The series of one study to score, and why each other one is not.

    Wanted are: axial, without contrast, original, soft kernel, 100 mm or more, 2.5 to 6 mm apart, complete.

    A series that is refused comes after any that is not, an incomplete one in between; then the criteria apply in this
    order, then the number of slices; between equals the SeriesInstanceUID that sorts first is taken, with
    W-SERIES-AMBIGUOUS. `series_uid` overrides all of them.

    Raises:
        ValueError: no series, or none of that UID.
    """
    if not all_series:
        raise ValueError("choose_series needs at least one series")
    ordered = sorted(all_series, key=lambda series: series.series_instance_uid)
    merits = {id(series): _merit(series) for series in ordered}
    if series_uid is None:
        best = max(ordered, key=lambda series: _values(merits[id(series)]))
    else:
        named = [series for series in ordered if series.series_instance_uid == series_uid]
        if not named:
            raise ValueError(f"series_uid={series_uid!r} is not a series of this study")
        best = named[0]
    candidates = []
    tied = False
    for series in ordered:
        chosen = series is best
        equal = not chosen and _values(merits[id(series)]) == _values(merits[id(best)])
        tied = tied or (equal and series_uid is None and _usable(best))
        reason = _reason_chosen(best, merits[id(best)], len(ordered), series_uid) if chosen else ""
        if not chosen:
            reason = (
                "another series was asked for" if series_uid else _reason_lost(merits[id(series)], merits[id(best)])
            )
        usable = chosen and _usable(best)
        candidates.append(Candidate(series.series_instance_uid, _description(series), len(series), usable, reason))
    if tied:
        best.findings[:] = gather([*best.findings, finding(Code.W_SERIES_AMBIGUOUS)])
    chosen, noticed = (best, ()) if _usable(best) else (None, best.findings)
    return StudyCandidates(best.study_instance_uid, chosen, candidates, _refusal(best, ordered), noticed)


def _usable(series: Series) -> bool:
    return series.refusal is None or isinstance(series.refusal, IncompleteSeriesError)


def _refusal(best: Series, ordered: Sequence[Series]) -> IchSeqError | None:
    """The refusal of the best series; where all of several are refused, one that counts the reasons."""
    if _usable(best) or len(ordered) == 1:
        return best.refusal
    codes = sorted({str(getattr(series.refusal, "code", "")) for series in ordered if series.refusal is not None})
    if isinstance(best.refusal, SeriesRefusedError) and len(codes) == 1:
        return best.refusal
    return SeriesRefusedError(
        f"none of the {len(ordered)} CT series can be scored ({', '.join(codes)}); export the original axial slices",
        code=codes[0],
    )


def _merit(series: Series) -> _Merit:
    usable = _usable(series)
    readable = _readable(series, usable)
    headers = series.headers
    if not headers:
        nothing = (0, "no slice left")
        return _Merit(readable, nothing, nothing, nothing, nothing, nothing, nothing, nothing)
    contrast = any(has_contrast(header) for header in headers)
    sharp = any(is_sharp_kernel(header.convolution_kernel) for header in headers)
    reformat = is_reformat(headers)
    spacing = series.spacing_mm
    preferred = _THINNEST_MM <= spacing <= _THICKEST_MM
    enough = series.coverage_mm >= _COVERAGE_MM
    return _Merit(
        readable=readable,
        contrast=(int(not contrast), "with contrast" if contrast else "no contrast"),
        original=(int(not reformat), "a reformat" if reformat else "original slices"),
        kernel=(int(not sharp), "a sharp kernel" if sharp else "soft kernel"),
        coverage=(int(enough), f"{series.coverage_mm:.0f} mm covered"),
        thickness=(int(preferred), f"{spacing:.1f} mm apart" if len(series) > 1 else "one slice"),
        complete=(int(series.complete), "complete" if series.complete else "slices missing"),
        slices=(len(series), f"{len(series)} slices" if len(series) > 1 else "one slice"),
    )


def _readable(series: Series, usable: bool) -> tuple[int, str]:
    """Whether it can be read, in steps: refused, incomplete, without a rescale of its own, sound."""
    if series.refusal is not None:
        return int(usable), str(series.refusal)
    assumed = {Code.W_NO_RESCALE, Code.W_ASSUMED_INTERCEPT} & {item.code for item in series.findings}
    return (2, "no rescale stated") if assumed else (3, "readable")


def _values(merit: _Merit) -> tuple[int, ...]:
    return tuple(value for value, _ in merit.ranked())


def _reason_chosen(series: Series, merit: _Merit, count: int, series_uid: str | None) -> str:
    if not _usable(series):
        return str(series.refusal)
    start = "asked for" if series_uid else "the only CT series" if count == 1 else "the best of the CT series"
    return f"{start}: axial, " + ", ".join(words for _, words in merit.ranked()[1:])


def _reason_lost(merit: _Merit, best: _Merit) -> str:
    """The weightiest criterion by which the best series is better."""
    for (value, words), (best_value, _) in zip(merit.ranked(), best.ranked(), strict=True):
        if value < best_value:
            return words
    return "as good as the chosen one; the first by SeriesInstanceUID is taken"


def _description(series: Series) -> str:
    return series.headers[0].series_description if series.headers else ""
