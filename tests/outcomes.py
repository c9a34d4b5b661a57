"""What the product answers to a path by its public way: the codes that a user sees, and the volume that would be scored."""

import re
from dataclasses import dataclass
from pathlib import Path

from ich_seq.dicom import Code, read_study_files
from ich_seq.dicom.findings import Finding
from ich_seq.errors import IchSeqError, IncompleteSeriesError, InputRefusedError
from ich_seq.volume import Volume

_KNOWN = {code.value for code in Code}
_SAID = re.compile(r"\b[EDWN]-[A-Z0-9][A-Z0-9-]*")


@dataclass(frozen=True)
class Outcome:
    """Codes from D, W and E on, notes apart, and the volume of the study that was read last.

    `volume` is None where it must not be scored; one that is incomplete only may be, when the user allows it.
    """

    codes: frozenset[str]
    notes: frozenset[str]
    volume: Volume | None

    @property
    def refused(self) -> frozenset[str]:
        """The codes that refuse."""
        return frozenset(code for code in self.codes if code.startswith("E-"))


def codes_of(path: Path) -> Outcome:
    """Read headers, order, pixels and what pixels tell, as scoring does, without a model.

    Of a refusal count its own code and those that its sentence gives as reasons.
    """
    said: set[str] = set()
    volume = None
    try:
        inventory = read_study_files([path])
        said |= _codes(inventory.dropped)
        for study in inventory.studies:
            if study.refusal is not None:
                said |= _of_error(study.refusal)
            if study.chosen is not None:
                volume = _read(Volume(study.chosen))
                said |= _codes(volume.findings) | (_of_error(volume.refusal) if volume.refusal else set())
                if not isinstance(volume.refusal, IncompleteSeriesError | None):
                    volume = None
    except InputRefusedError as error:
        said |= _of_error(error)
        volume = None
    notes = {code for code in said if code.startswith("N-")}
    return Outcome(frozenset(said - notes), frozenset(notes), volume)


def _read(volume: Volume) -> Volume:
    for _ in volume.read():
        pass
    return volume.settled()


def _codes(found: list[Finding]) -> set[str]:
    return {item.code.value for item in found}


def _of_error(error: IchSeqError) -> set[str]:
    """The error's own code and those in its sentence; the name of its class where it has none."""
    said = {str(getattr(error, "code", "")), *_SAID.findall(str(error))} & _KNOWN
    return said or {type(error).__name__}
