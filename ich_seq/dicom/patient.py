"""Whether headers speak of one patient, and of what age, without a name leaving them."""

import hashlib
from collections.abc import Sequence

from ich_seq.dicom.elements import Elements

_PATIENT_NAME = 0x00100010
PATIENT_TAGS = (0x00100020, _PATIENT_NAME, 0x00100030)
"""PatientID, PatientName, PatientBirthDate."""


def patient_digests(elements: Elements) -> tuple[str, ...]:
    """SHA-256 (hex) of PatientID, PatientName (without empty components at its end) and PatientBirthDate, each empty where absent."""
    parts = [(tag, elements.values.get(tag, b"").strip(b" \0")) for tag in PATIENT_TAGS]
    stripped = [part.rstrip(b"^= ") if tag == _PATIENT_NAME else part for tag, part in parts]
    return tuple(hashlib.sha256(part).hexdigest() if part else "" for part in stripped)


def one_patient(digests: Sequence[tuple[str, ...]]) -> bool:
    """Whether the `patient_digests` of several files belong to one patient.

    What a file leaves out contradicts nothing, yet something must tie the files together: no element may have two values, and
    one at least must stand in every file, unless none stands in any.
    """
    columns = [set(column) for column in zip(*digests, strict=True)]
    if any(len(values - {""}) > 1 for values in columns):
        return False
    return any("" not in values for values in columns) or all(values == {""} for values in columns)


def age_years(text: str | None) -> float | None:
    """Age from DICOM's form nnnD, nnnW, nnnM or nnnY; None for any other, and for 0Y, which de-identification writes."""
    days = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}
    if text is None or text[-1:] not in days or not text[:-1].isdigit():
        return None
    if int(text[:-1]) == 0 and text[-1] == "Y":
        return None
    return int(text[:-1]) * days[text[-1]] / days["Y"]
