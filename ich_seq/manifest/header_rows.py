"""What a table of slices takes from each header; runs in processes of its own, so it imports no pandas."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ich_seq.dicom.checks import check_is_ct, check_slice
from ich_seq.dicom.elements import FileFaultError
from ich_seq.dicom.geometry import angle_deg, normal_of, position_of
from ich_seq.dicom.header import SliceHeader, file_error, read_header
from ich_seq.errors import PixelsUnreadableError
from ich_seq.volume import WHOLE_FILE

Row = tuple[str | float | int, ...]
_HEAD = np.array([0.0, 0.0, 1.0])
_SEXES = ("M", "F", "O")
_MAKERS = frozenset(
    {
        *("CANON", "ELSCINT", "FUJIFILM", "GE", "HITACHI", "IMATRON", "MARCONI", "NEUROLOGICA", "NEUSOFT"),
        *("PHILIPS", "PICKER", "SAMSUNG", "SHIMADZU", "SIEMENS", "TOSHIBA", "UIH", "UNITED"),
    }
)
_NEEDED = (
    "patient_id",
    "study_instance_uid",
    "series_instance_uid",
    "sop_instance_uid",
    "image_position_patient",
    "image_orientation_patient",
    "pixel_spacing_mm",
    "rescale_slope",
)


def read_rows(root: Path, files: Sequence[str]) -> tuple[list[Row], dict[str, str]]:
    """A row for each usable file, and for each other one why not, by its path relative to root."""
    rows: list[Row] = []
    failures: dict[str, str] = {}
    for path in files:
        try:
            header = _usable_header(root / path)
            rows.append(row_of(path, header, float(position_of(header) @ normal_of(header))))
        except PixelsUnreadableError as error:
            failures[path] = error.message
    return rows, failures


def _usable_header(file: Path) -> SliceHeader:
    header = read_header(file)
    try:
        check_is_ct(header)
        check_slice(header)
    except FileFaultError as fault:
        raise file_error(file.name, fault) from fault
    for name in _NEEDED:
        if getattr(header, name) in (None, ""):
            raise PixelsUnreadableError(f"{file.name}: no {name}; a table of slices needs it", code="")
    return header


def row_of(path: str, header: SliceHeader, position_mm: float) -> Row:
    """One row, in the order of HEADER_COLUMNS and OPTIONAL_COLUMNS in ich_seq.manifest.table."""
    return (
        header.patient_id,
        header.study_instance_uid,
        header.series_instance_uid,
        header.sop_instance_uid,
        path,
        WHOLE_FILE,
        position_mm,
        *(header.pixel_spacing_mm or ()),
        math.nan if header.slice_thickness_mm is None else header.slice_thickness_mm,
        header.rows,
        header.columns,
        header.pixels.bits_stored,
        header.pixels.pixel_representation,
        round(angle_deg(normal_of(header), _HEAD), 2),
        age_group_of(header.patient_age_years),
        header.patient_sex if header.patient_sex in _SEXES else "",
        maker_of(header.manufacturer),
    )


def age_group_of(years: float | None) -> str:
    """The decade of life, such as `60 to 69`; from 90 on one group, as age could name them; empty if unknown."""
    if years is None:
        return ""
    decade = int(years) // 10 * 10
    return "90 or more" if decade >= 90 else f"{decade} to {decade + 9}"


def maker_of(manufacturer: str) -> str:
    """The first word of Manufacturer in capitals where it is a known maker of CT, else `OTHER`; empty if unknown.

    The element is free text, which no table of ours repeats.
    """
    words = re.findall(r"[A-Z0-9]+", manufacturer.upper())
    if not words:
        return ""
    return words[0] if words[0] in _MAKERS else "OTHER"
