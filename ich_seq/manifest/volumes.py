"""NIfTI volumes as rows of the table of slices."""

from pathlib import Path

import numpy as np
import pandas as pd

from ich_seq.manifest.table import HEADER_COLUMNS
from ich_seq.nifti import NiftiScan


def stem_of(path: Path) -> str:
    """The file's name without `.nii` or `.nii.gz`."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def volume_rows(scan: NiftiScan, path: str, patient_id: str, study_uid: str) -> pd.DataFrame:
    """One row a slice, feet to head. NIfTI has no UIDs: a series is called after its study, a slice `<study>#<place in the file>`.

    `bits_stored` is 0 and `slice_thickness_mm` NaN: the file does not say.
    """
    row_mm, column_mm = scan.pixel_spacing_mm
    height, width = scan.shape
    rows = {
        "patient_id": patient_id,
        "study_instance_uid": study_uid,
        "series_instance_uid": study_uid,
        "sop_instance_uid": [f"{study_uid}#{place}" for place in scan.stored],
        "path": path,
        "slice_index": scan.stored,
        "position_mm": scan.positions_mm,
        "row_spacing_mm": row_mm,
        "column_spacing_mm": column_mm,
        "slice_thickness_mm": np.nan,
        "rows": height,
        "columns": width,
        "bits_stored": 0,
        "pixel_representation": 1,
    }
    return pd.DataFrame(rows).astype(HEADER_COLUMNS)
