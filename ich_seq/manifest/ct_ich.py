"""PhysioNet CT-ICH: one NIfTI volume a patient, labels by slice in a CSV with columns of its own."""

from pathlib import Path

import numpy as np
import pandas as pd

from ich_seq.dicom import Code
from ich_seq.errors import DatasetError, PixelsUnreadableError
from ich_seq.labels import ANY_INDEX, LABEL_NAMES
from ich_seq.manifest.description import DatasetDescription, find_images
from ich_seq.manifest.headers import Progress
from ich_seq.manifest.label_files import as_bits, check_any, need_columns, read_label_csv, refused, without_repeats
from ich_seq.manifest.table import PER_SLICE
from ich_seq.manifest.volumes import stem_of, volume_rows
from ich_seq.nifti import NiftiScan

# In the order of LABEL_NAMES; the last is the inverse of `any`.
_COLUMNS = ("Epidural", "Intraparenchymal", "Intraventricular", "Subarachnoid", "Subdural", "No_Hemorrhage")
_PATIENT, _SLICE = "PatientNumber", "SliceNumber"


def index_ct_ich(
    description: DatasetDescription, root: Path, jobs: int, progress: Progress | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Every slice of every volume with its labels, and notes; `jobs` is not needed for 75 files.

    Raises:
        DatasetError: no volume, one that cannot be read, or labels that are faulty or fit no volume.
    """
    del jobs
    labels, notes = read_ct_ich_labels(root / description.layout.labels)
    files = find_images(description, root)
    parts = []
    for done, file in enumerate(files, start=1):
        parts.append(_patient(root, file, labels))
        if progress is not None:
            progress(done, len(files))
    table = pd.concat(parts, ignore_index=True)
    absent = sorted(set(labels.index.get_level_values(0)) - {int(stem_of(file)) for file in files})
    if absent:
        notes.append(
            f"{len(absent)} patients have labels and no volume: {', '.join(f'{number:03d}' for number in absent)}"
        )
    return table.assign(labelled=PER_SLICE), notes


def read_ct_ich_labels(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """LABEL_NAMES by (patient number, slice number from 1), and notes. `any` is the inverse of No_Hemorrhage.

    Raises:
        DatasetError: unreadable, a column missing, a value other than 0 and 1, rows that conflict, or an `any` that is not the OR.
    """
    rows = read_label_csv(path)
    need_columns(path, rows, (_PATIENT, _SLICE, *_COLUMNS))
    key = rows[_PATIENT] + "/" + rows[_SLICE]
    if (bad := ~(rows[_PATIENT].str.fullmatch(r"\d+") & rows[_SLICE].str.fullmatch(r"\d+"))).any():
        raise refused(path, "E-LABEL-INCOMPLETE", "rows without a patient's and a slice's number", key[bad])
    truth = as_bits(path, rows, _COLUMNS, key)
    truth[:, ANY_INDEX] ^= 1
    check_any(path, truth, key)
    numbers = [rows[_PATIENT].astype(int), rows[_SLICE].astype(int)]
    found = pd.DataFrame(truth, index=pd.MultiIndex.from_arrays(numbers), columns=list(LABEL_NAMES))
    return without_repeats(path, found)


def _patient(root: Path, file: Path, labels: pd.DataFrame) -> pd.DataFrame:
    """The rows of one volume; SliceNumber 1 is the first slice in the file."""
    name = stem_of(file)
    if not name.isdigit():
        raise DatasetError(f"{file}: the name is not a patient's number", path=file)
    try:
        scan = NiftiScan(file)
        rows = volume_rows(scan, file.relative_to(root).as_posix(), name, name)
    except PixelsUnreadableError as error:
        raise DatasetError(f"{root}: {error.message}; download it again", root=root) from error
    wanted = pd.MultiIndex.from_product([[int(name)], (np.asarray(scan.stored) + 1).tolist()])
    of_patient = labels[labels.index.get_level_values(0) == int(name)]
    if len(of_patient) != len(wanted) or not wanted.isin(of_patient.index).all():
        raise DatasetError(
            f"{file}: {Code.E_LABEL_INCOMPLETE.value}: {len(wanted)} slices, and labels for {len(of_patient)}; "
            "the file or the labels are of another version",
            path=file,
            code=Code.E_LABEL_INCOMPLETE.value,
        )
    return rows.join(labels.loc[wanted].reset_index(drop=True))
