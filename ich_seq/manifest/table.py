"""The table of slices: one row per image, as a pandas frame in memory and as Parquet on disk."""

from pathlib import Path

import numpy as np
import pandas as pd

from ich_seq.distrust import DamagedError
from ich_seq.errors import DatasetError
from ich_seq.files import output_errors, remove_dead_leftovers, replacing
from ich_seq.labels import ANY_INDEX, LABEL_NAMES
from ich_seq.manifest.parquet import read_parquet, write_parquet

HEADER_COLUMNS = {
    "patient_id": "str",
    "study_instance_uid": "str",
    "series_instance_uid": "str",
    "sop_instance_uid": "str",
    "path": "str",
    "slice_index": "int32",
    "position_mm": "float64",
    "row_spacing_mm": "float64",
    "column_spacing_mm": "float64",
    "slice_thickness_mm": "float64",
    "rows": "int32",
    "columns": "int32",
    "bits_stored": "int16",
    "pixel_representation": "int16",
}
"""What the header gives, and its type. `path` is relative to the dataset's root, with `/`; `slice_index` is WHOLE_FILE, or the slice's
place in a NIfTI volume; `position_mm` runs along the slice normal towards the head; the slice thickness is NaN where absent, as in
RSNA's files."""

COLUMNS = {
    "dataset": "str",
    **HEADER_COLUMNS,
    **dict.fromkeys(LABEL_NAMES, "uint8"),
    "labelled": "str",
    "split": "str",
}
"""Every column of a table of slices and its type, in order. `labelled` says what the labels are of: PER_SLICE, or PER_SCAN where every
slice carries its scan's."""

OPTIONAL_COLUMNS = {"tilt_deg": "float64", "age_group": "str", "sex": "str", "manufacturer": "str"}
"""What subgroups are made of, where the header has it; tables of earlier versions lack these columns. `tilt_deg` is the angle of the
slice to the axial plane, NaN where unknown; the others are empty where unknown. `age_group` is a decade (`60 to 69`), `sex` M, F or O,
`manufacturer` its first word."""

PER_SLICE, PER_SCAN = "slice", "scan"


def sort_slices(table: pd.DataFrame) -> pd.DataFrame:
    """The rows in order of patient, study and series, and within a series from feet to head."""
    keys = ["patient_id", "study_instance_uid", "series_instance_uid", "position_mm", "sop_instance_uid"]
    return table.sort_values(keys, ignore_index=True)


def slice_places(table: pd.DataFrame, root: Path) -> list[tuple[Path, int]]:
    """File and slice index of each row, as `nifti.read_stored_slice` takes them."""
    return [(root / path, int(place)) for path, place in zip(table["path"], table["slice_index"], strict=True)]


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes the table as Parquet, whole or not at all.

    Raises:
        ValueError: the table lacks a column, or has one of another type.
        OutputError: the place cannot be written, or the disk is full.
    """
    if fault := _fault(table):
        raise ValueError(f"not a table of slices: {fault}")
    with output_errors(path):
        remove_dead_leftovers(path.parent, path.name)
    with replacing(path) as temporary:
        write_parquet(table, temporary)


def read_table(path: Path) -> pd.DataFrame:
    """The table of slices in a Parquet file.

    Raises:
        DatasetError: no such file, not Parquet, larger than any table, changed since it was written, or a column is missing or of
            another type.
    """
    try:
        table = read_parquet(path)
    except (OSError, DamagedError) as error:
        raise DatasetError(f"{path}: no readable table ({error}); make one with `ichseq index`", path=path) from error
    if fault := _fault(table):
        raise DatasetError(f"{path}: not a table of slices: {fault}; make one with `ichseq index`", path=path)
    return table


def _fault(table: pd.DataFrame) -> str:
    """What keeps this from being a table of slices; empty when nothing does."""
    if missing := [name for name in COLUMNS if name not in table]:
        return f"no column {', '.join(missing)}"
    wrong = [name for name, kind in COLUMNS.items() if table[name].dtype != kind]
    if wrong:
        return f"column {wrong[0]} is {table[wrong[0]].dtype}, not {COLUMNS[wrong[0]]}"
    truth = table[list(LABEL_NAMES)].to_numpy()
    checks = {
        "it has no rows": table.empty,
        "a position is no number": not np.isfinite(table["position_mm"]).all(),
        "a label is neither 0 nor 1": bool((truth > 1).any()),
        "`any` is not the OR of the five subtypes": bool(
            (truth[:, ANY_INDEX] != np.delete(truth, ANY_INDEX, axis=1).max(axis=1, initial=0)).any()
        ),
        "a slice is listed twice": bool(table.duplicated(["series_instance_uid", "sop_instance_uid"]).any()),
    }
    return next((fault for fault, found in checks.items() if found), "")
