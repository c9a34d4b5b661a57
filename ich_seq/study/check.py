"""Whether a study can be scored, without scoring it: its headers and pixels are read, no model is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ich_seq.dicom import AS_IT_IS, Finding, ReadOptions
from ich_seq.errors import IchSeqError, InputRefusedError
from ich_seq.study.inputs import DicomStudy, Inputs, NiftiFile, OpenedScan, Scan, find_studies
from ich_seq.study.refusal import read_through, refusal_of
from ich_seq.study.result import CandidateSummary, Dropped, FindingSummary, Part, SeriesSummary, SourceFormat, Status
from ich_seq.study.summaries import (
    candidate_summaries,
    dropped_summaries,
    finding_summaries,
    series_summary,
    status_of_scan,
)
from ich_seq.study.thin import as_the_model_knows

CHECK_VERSION = "1.0"


class Verdict(StrEnum):
    """Whether a study can be scored."""

    USABLE = "usable"
    WITH_WARNINGS = "usable with warnings"
    REFUSED = "refused"


def verdict_of(status: Status) -> Verdict:
    """What a study with this status is that nothing refuses."""
    return Verdict.USABLE if status is Status.COMPLETE else Verdict.WITH_WARNINGS


EXIT_CODES = {Verdict.USABLE: 0, Verdict.WITH_WARNINGS: 10, Verdict.REFUSED: 3}
"""The exit code of `ichseq check` for one study; several: the worst one's."""


class Refusal(Part):
    """Why a study must not be scored."""

    code: str
    """The rule that it breaks, as `ichseq codes` lists it; empty where it has none."""
    message: str
    """For a person: may name a file, relative to what was given."""


class StudyCheck(Part):
    """The suitability of one study, free of protected health information but for the UIDs and the names of files in `refusal`."""

    version: Annotated[str, Field(pattern=r"^1\.[0-9]+$")] = CHECK_VERSION
    """Of this format; within a major version fields are only added."""
    verdict: Verdict
    exit_code: int
    """As EXIT_CODES."""
    refusal: Refusal | None
    status: Status | None
    """As in a result; null where the series cannot be read as one scan."""
    source_format: SourceFormat
    study_instance_uid: str
    series_instance_uid: str | None
    """The series that would be scored."""
    series: SeriesSummary | None
    candidates: tuple[CandidateSummary, ...]
    findings: tuple[FindingSummary, ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True, slots=True)
class CheckedStudy:
    """A check, with what it rests on: these findings name files, for the terminal; `studies` were found in all."""

    check: StudyCheck
    findings: Sequence[Finding]
    dropped_elsewhere: Sequence[Finding]
    studies: int


def check_study(
    path: str | Path | Sequence[str | Path], *, series_uid: str | None = None, options: ReadOptions = AS_IT_IS
) -> StudyCheck:
    """Whether the one study in a folder, a zip, a file, or a list of them can be scored, and what was noticed.

    Arguments as `score_study`.

    Raises:
        InputRefusedError: no CT there, or several studies (see `check_studies`). A study that is there and refused raises nothing.
    """
    paths = [path] if isinstance(path, str | Path) else path
    checked = list(check_studies(paths, series_uid=series_uid, options=options))
    if len(checked) > 1:
        raise InputRefusedError(f"{len(checked)} studies; give one, name one of its series, or use check_studies")
    return checked[0].check


def check_studies(
    paths: Sequence[str | Path], *, series_uid: str | None = None, options: ReadOptions = AS_IT_IS
) -> Iterator[CheckedStudy]:
    """Each study in what was given: DICOM in order of StudyInstanceUID, then NIfTI as given.

    Raises:
        InputRefusedError: nothing that could be scored in any study.
    """
    inputs = find_studies([Path(path) for path in paths], series_uid, options)
    for study in inputs.studies:
        yield _checked(study, inputs, options)


def _checked(study: DicomStudy | NiftiFile, inputs: Inputs, options: ReadOptions) -> CheckedStudy:
    """One study, every slice of it read."""
    try:
        opened = study.open()
    except IchSeqError as error:
        return _unopened(study, error, inputs)
    known = as_the_model_knows(opened.scan)
    try:
        scan = read_through(known)
    except IchSeqError as error:
        return _judged(opened, known, error, inputs)
    return _judged(opened, scan, refusal_of(scan, options), inputs)


def _judged(opened: OpenedScan, scan: Scan, refusal: IchSeqError | None, inputs: Inputs) -> CheckedStudy:
    status = status_of_scan(scan)
    verdict = verdict_of(status) if refusal is None else Verdict.REFUSED
    findings = scan.findings
    check = StudyCheck(
        verdict=verdict,
        exit_code=EXIT_CODES[verdict],
        refusal=_refusal(refusal),
        status=status,
        source_format=scan.source_format,
        study_instance_uid=scan.study_instance_uid,
        series_instance_uid=scan.series_instance_uid,
        series=series_summary(scan),
        candidates=candidate_summaries(opened.candidates),
        findings=finding_summaries(findings),
        dropped=dropped_summaries(findings, inputs.dropped),
    )
    return CheckedStudy(check, findings, inputs.dropped, len(inputs.studies))


def _unopened(study: DicomStudy | NiftiFile, error: IchSeqError, inputs: Inputs) -> CheckedStudy:
    """A study of which no series can be read as one scan, or a NIfTI file that cannot be read."""
    found = study.found if isinstance(study, DicomStudy) else None
    findings = () if found is None else found.findings
    check = StudyCheck(
        verdict=Verdict.REFUSED,
        exit_code=EXIT_CODES[Verdict.REFUSED],
        refusal=_refusal(error),
        status=None,
        source_format="nifti" if found is None else "dicom",
        study_instance_uid=study.name,
        series_instance_uid=None,
        series=None,
        candidates=() if found is None else candidate_summaries(found.candidates),
        findings=finding_summaries(findings),
        dropped=dropped_summaries(findings, inputs.dropped),
    )
    return CheckedStudy(check, findings, inputs.dropped, len(inputs.studies))


def _refusal(error: IchSeqError | None) -> Refusal | None:
    if error is None:
        return None
    encodable = error.message.encode(errors="replace").decode()  # a file's name need not be UTF-8
    return Refusal(code=str(getattr(error, "code", "")), message=encodable)
