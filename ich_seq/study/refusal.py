"""Whether a scan may be scored, given what the user lets pass or forbids; scoring and checking ask the same question."""

from ich_seq.dicom import ReadOptions, Severity
from ich_seq.dicom.findings import holes_in
from ich_seq.errors import IchSeqError, IncompleteSeriesError, SeriesRefusedError
from ich_seq.study.inputs import Scan


def read_through(scan: Scan) -> Scan:
    """The scan without the slices that cannot be read, once every slice has been read and let go: nothing is left to be noticed.

    Raises:
        SeriesRefusedError: no slice can be read.
    """
    for _ in scan.read():
        pass
    return scan.settled()


def refusal_of(scan: Scan, options: ReadOptions) -> IchSeqError | None:
    """Why a scan must not be scored, as far as it has been read; None where it may be.

    `allow_incomplete` lets a series pass that is refused as incomplete. `strict` refuses every warning and every lost slice, and is
    the stronger of the two; its refusal names all codes and has them as `codes`.
    """
    refusal = scan.refusal
    if refusal is not None and not (options.allow_incomplete and isinstance(refusal, IncompleteSeriesError)):
        return refusal
    return _strict_refusal(scan) if options.strict else None


def _strict_refusal(scan: Scan) -> IchSeqError | None:
    findings = scan.findings
    grave = [found for found in findings if found.severity in (Severity.REFUSED, Severity.WARNING)]
    grave += holes_in(findings)
    if not grave:
        return None
    said = "; ".join(str(found).rstrip(".") for found in grave)
    codes = tuple(dict.fromkeys(found.code.value for found in grave))
    return SeriesRefusedError(
        f"--strict refuses {said}. `ichseq codes` says what to do about each", code=codes[0], codes=codes
    )
