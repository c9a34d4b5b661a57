"""What reading found: one value per fact, safe to write into a result."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ich_seq.dicom.codes import Code, Severity
from ich_seq.dicom.limits import LIMITS


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about a file or a series.

    `message` carries numbers and DICOM keywords only, never a file's name or a header's text, so it may be written
    anywhere. `files` are names relative to what the user typed (at most ten, of `count`): for the terminal, never for
    a file that we write. `positions_mm` lie along the slice normal, feet to head.
    """

    code: Code
    message: str
    files: tuple[str, ...] = ()
    count: int = 1
    positions_mm: tuple[float, ...] = ()

    @property
    def severity(self) -> Severity:
        """Refused, dropped, warning or note."""
        return self.code.severity

    def __str__(self) -> str:
        return f"{self.code.value}: {self.message}"

    def line(self) -> str:
        """One line for the terminal: code, fact, names of files."""
        if not self.files:
            return str(self)
        rest = self.count - len(self.files)
        more = f" and {rest} more" if rest > 0 else ""
        return f"{self} ({', '.join(self.files)}{more})"


_NEVER_SLICES = frozenset(
    {
        Code.D_NOT_DICOM,
        Code.D_DICOMDIR,
        Code.D_NOT_REGULAR,
        Code.D_NESTED_ARCHIVE,
        Code.D_NOT_CT_IMAGE,
        Code.D_LOCALIZER,
        Code.D_DERIVED,
        Code.D_NOT_GRAYSCALE,
    }
)
"""Of files that were never slices of the stack: leaving them out leaves no hole."""


def holes_in(findings: Iterable[Finding]) -> list[Finding]:
    """The slices of the series that could not be used: each leaves a hole, seen or unseen."""
    return [found for found in findings if found.severity is Severity.DROPPED and found.code not in _NEVER_SLICES]


class SeriesFaultError(Exception):
    """A rule that makes the whole series unusable; never leaves ich_seq.dicom."""

    def __init__(self, code: Code, detail: str = "", files: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.files = files


def finding(code: Code, detail: str = "", files: Sequence[str] = (), positions_mm: Sequence[float] = ()) -> Finding:
    """A finding that says the code's own sentence, then the detail."""
    stem = code.text.rstrip(".")
    message = f"{stem}: {detail}" if detail else code.text
    names = tuple(_printable(name) for name in files[: LIMITS.names_listed])
    return Finding(code, message, names, max(1, len(files)), tuple(float(p) for p in positions_mm))


def gather(findings: Iterable[Finding]) -> list[Finding]:
    """Findings with the same code and message as one, counted; in order of severity, then code, then message."""
    merged: dict[tuple[str, str], Finding] = {}
    for item in findings:
        key = (item.code.value, item.message)
        known = merged.get(key)
        if known is None:
            merged[key] = item
            continue
        names = (known.files + item.files)[: LIMITS.names_listed]
        count = known.count + item.count
        merged[key] = Finding(item.code, item.message, names, count, known.positions_mm + item.positions_mm)
    rank = {Severity.REFUSED: 0, Severity.DROPPED: 1, Severity.WARNING: 2, Severity.NOTE: 3}
    return sorted(merged.values(), key=lambda f: (rank[f.severity], f.code.value, f.message))


def _printable(name: str) -> str:
    """A name without control, bidirectional or other invisible characters: inert in a terminal."""
    return "".join(c if c.isprintable() else "�" for c in name)
