"""What reading says of one scan, as the plain values that results and checks share: status, geometry, candidates, findings."""

from collections.abc import Iterable, Sequence

from ich_seq.dicom import Candidate, Code, Finding, Severity
from ich_seq.dicom.findings import holes_in
from ich_seq.errors import IncompleteSeriesError
from ich_seq.study.inputs import Scan
from ich_seq.study.result import CandidateSummary, Dropped, FindingSummary, Gap, SeriesSummary, Status, status_of


def status_of_scan(scan: Scan) -> Status:
    """Complete, with warnings, or incomplete: a gap, a refusal as incomplete, or a lost slice."""
    findings = scan.findings
    missing = bool(scan.stack.gaps) or isinstance(scan.refusal, IncompleteSeriesError) or bool(holes_in(findings))
    missing = missing or any(found.code is Code.W_RESCALE_OUTLIER for found in findings)
    return status_of(missing, any(found.severity is Severity.WARNING for found in findings))


def series_summary(scan: Scan) -> SeriesSummary:
    """Geometry of the slices."""
    stack = scan.stack
    return SeriesSummary(
        slices=len(scan),
        rows=stack.rows,
        columns=stack.columns,
        spacing_mm=round(stack.spacing_mm, 4),
        coverage_mm=round(stack.coverage_mm, 4),
        tilt_deg=round(stack.tilt_deg, 2),
        gaps=tuple(Gap(after_mm=round(after, 4), gap_mm=round(gap, 4)) for after, gap in stack.gaps),
    )


def candidate_summaries(candidates: Iterable[Candidate]) -> tuple[CandidateSummary, ...]:
    """The series of the study, without their descriptions."""
    return tuple(
        CandidateSummary(
            series_instance_uid=each.series_instance_uid, slices=each.slices, chosen=each.chosen, reason=each.reason
        )
        for each in candidates
    )


def finding_summaries(findings: Iterable[Finding]) -> tuple[FindingSummary, ...]:
    """Everything but what was dropped, without names of files."""
    return tuple(
        FindingSummary.model_validate(
            {
                "code": found.code.value,
                "severity": found.severity.name.lower(),
                "message": found.message,
                "what_to_do": found.code.remedy,
                "count": found.count,
            }
        )
        for found in findings
        if found.severity is not Severity.DROPPED
    )


def dropped_summaries(in_series: Iterable[Finding], elsewhere: Sequence[Finding]) -> tuple[Dropped, ...]:
    """What was dropped from the series, then what belongs to none, without names of files."""
    own = [found for found in in_series if found.severity is Severity.DROPPED]
    each = [*((found, True) for found in own), *((found, False) for found in elsewhere)]
    return tuple(
        Dropped(code=found.code.value, reason=found.message, count=found.count, in_series=belongs)
        for found, belongs in each
    )
