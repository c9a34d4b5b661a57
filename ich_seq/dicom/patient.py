"""Whether headers speak of one patient, and of what age, without a name leaving them."""

import hashlib
from collections.abc import Sequence

from ich_seq.dicom.elements import Elements

_PATIENT_NAME = 0x00100010
PATIENT_TAGS = (0x00100020, _PATIENT_NAME, 0x00100030)
PATIENT_KEYWORDS = ("PatientID", "PatientName", "PatientBirthDate")


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


def several_patients(digests: Sequence[tuple[str, ...]]) -> bool:
    """Whether the `patient_digests` of several series speak of more than one patient: two IDs or birth dates, or names without IDs.

    Names alone do not count beside IDs: workstations spell them in their own ways.
    """
    ids, names, births = ({value for value in column if value} for column in zip(*digests, strict=True))
    return max(len(ids), len(births), 0 if ids else len(names)) > 1


def odd_patients(digests: Sequence[tuple[str, ...]]) -> tuple[str, list[int]]:
    """Of files of more than one patient the keywords that differ or are missing in some, and which files are not as most are."""
    usual = max(set(digests), key=lambda each: (digests.count(each), each))
    columns = zip(PATIENT_KEYWORDS, zip(*digests, strict=True), strict=True)
    words = ", ".join(keyword for keyword, values in columns if len(set(values)) > 1)
    return words, [index for index, each in enumerate(digests) if each != usual]


def age_years(text: str | None) -> float | None:
    """Age from DICOM's form nnnD, nnnW, nnnM or nnnY; None for any other, and for 0Y, which de-identification writes."""
    days = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}
    if text is None or text[-1:] not in days or not text[:-1].isdigit():
        return None
    if int(text[:-1]) == 0 and text[-1] == "Y":
        return None
    return int(text[:-1]) * days[text[-1]] / days["Y"]
