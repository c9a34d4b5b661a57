"""Whom a header names, for the one place where the user asked for it."""

from dataclasses import dataclass, field

from ich_seq.dicom.elements import FileFaultError, file_boundary, open_body, read_elements
from ich_seq.dicom.header import SliceHeader, file_error
from ich_seq.errors import PixelsUnreadableError

_CHARACTER_SET, _STUDY_DATE, _NAME, _ID, _BIRTH_DATE = 0x00080005, 0x00080020, 0x00100010, 0x00100020, 0x00100030
_LONGEST = 192  # a person name has three groups of 64 characters


@dataclass(frozen=True, slots=True)
class Patient:
    """Protected health information, as text that is safe to show but not to keep; empty where the header says nothing."""

    name: str = field(repr=False)
    patient_id: str = field(repr=False)
    birth_date: str = field(repr=False)
    study_date: str = field(repr=False)


def read_patient(header: SliceHeader) -> Patient:
    """Name, ID, birth date and study date of one slice, read anew from its file.

    Decoded by SpecificCharacterSet, what does not fit replaced; without control, bidirectional and other invisible characters.

    Raises:
        PixelsUnreadableError: the file is gone or has changed.

    Source: DICOM PS3.5 section 6.2 (PN, DA), PS3.3 C.12.1.1.2.
    """
    try:
        body = open_body(header.source)
        with body.stream, file_boundary():
            values = read_elements(body, [_CHARACTER_SET, _STUDY_DATE, _NAME, _ID, _BIRTH_DATE]).values
    except OSError as error:
        raise PixelsUnreadableError(f"{header.name}: cannot be opened any more", code="") from error
    except FileFaultError as fault:
        raise file_error(header.name, fault) from fault
    named = values.get(_CHARACTER_SET, b"").decode("latin-1").split("\\")
    texts = {tag: _decoded(values.get(tag, b""), [term.strip(" \0") for term in named]) for tag in (_NAME, _ID)}
    return Patient(
        name=_visible(" / ".join(filter(None, map(_person, texts[_NAME].split("="))))),
        patient_id=_visible(texts[_ID]),
        birth_date=_date(values.get(_BIRTH_DATE, b"")),
        study_date=_date(values.get(_STUDY_DATE, b"")),
    )


def _decoded(raw: bytes, character_sets: list[str]) -> str:
    """Text in the character sets that the header states; ASCII where it states none or nonsense, with errors replaced."""
    from pydicom.charset import convert_encodings, decode_bytes

    try:
        with file_boundary():
            return decode_bytes(raw, convert_encodings(list(character_sets)), {ord("^"), ord("=")})
    except FileFaultError:
        return raw.decode("ascii", errors="replace")


def _person(group: str) -> str:
    """One group of a person name: family name first, then given names, prefix and suffix."""
    family, *others = (part.strip() for part in group.split("^"))
    given = " ".join(filter(None, others))
    return ", ".join(filter(None, (family, given)))


def _date(raw: bytes) -> str:
    text = raw.decode("ascii", errors="replace").strip(" \0")
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdecimal() else _visible(text)


def _visible(text: str) -> str:
    """One line of at most _LONGEST characters that all show and that turn no other text around."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(shown.split())[:_LONGEST]
