"""Anyone's own data: a folder of DICOM or NIfTI in any layout, and a CSV of labels with one row a slice or a scan."""

from pathlib import Path

import numpy as np
import pandas as pd

from ich_seq.errors import DatasetError, PixelsUnreadableError
from ich_seq.labels import ANY, LABEL_NAMES, SUBTYPE_NAMES
from ich_seq.manifest.description import DatasetDescription
from ich_seq.manifest.headers import Progress, read_headers
from ich_seq.manifest.label_files import (
    as_bits,
    check_any,
    counted,
    need_columns,
    read_label_csv,
    refused,
    without_repeats,
)
from ich_seq.manifest.pseudonyms import without_identities
from ich_seq.manifest.rsna import MOST_LOST
from ich_seq.manifest.table import HEADER_COLUMNS, PER_SCAN, PER_SLICE
from ich_seq.manifest.volumes import stem_of, volume_rows
from ich_seq.nifti import NiftiScan, is_nifti

SLICE_KEYS = ("sop_instance_uid", "path")
SCAN_KEYS = ("series_instance_uid", "study_instance_uid")
_NO_IMAGE = frozenset({".csv", ".tsv", ".txt", ".json", ".md", ".xlsx", ".pdf", ".zip", ".parquet", ".png", ".jpg"})


def index_own(
    description: DatasetDescription, root: Path, jobs: int, progress: Progress | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Every CT slice below root that the CSV labels, and notes on what was left out; patients have pseudonyms.

    The CSV's first column is its key: `sop_instance_uid` or `path` (relative to root) for labels of slices, `series_instance_uid` or
    `study_instance_uid` for labels of scans. A NIfTI volume is labelled by its `path`, and by slice where there is a column
    `slice`, its place in the file from 0. Then come the five subtypes, and `any` if known.

    Raises:
        DatasetError: no image, faulty labels, or more than 1 % of the labels without an image.
    """
    key, labels, notes = read_own_labels(root / description.layout.labels)
    files = [file for file in sorted(root.glob(description.layout.images)) if file.is_file()]
    volumes = [file for file in files if is_nifti(file)]
    singles = [file for file in files if file not in set(volumes) and file.suffix.lower() not in _NO_IMAGE]
    if not volumes and not singles:
        raise DatasetError(f"{root}: no image below it; --root is the folder that holds them", root=root)
    names = [file.relative_to(root).as_posix() for file in singles]
    headers = read_headers(root, names, jobs, progress)
    notes += counted("files are no usable CT slices and are left out", headers.failures.values())
    table = pd.concat([headers.table, *(_volume(root, file) for file in volumes)], ignore_index=True)
    joined, unmatched = _join(table.astype(HEADER_COLUMNS), labels, key)
    if len(unmatched) > MOST_LOST * len(labels):
        raise refused(root / description.layout.labels, "E-LABEL-WITHOUT-IMAGE", "labels have no image", unmatched)
    notes += counted("labels have no image and are dropped", unmatched)
    joined = without_identities(joined).astype(HEADER_COLUMNS)
    if without := len(table) - len(joined):
        notes.append(f"{without} slices have no label and are left out")
    return joined, notes


def read_own_labels(path: Path) -> tuple[str, pd.DataFrame, list[str]]:
    """The name of the key column, the labels (index: key, or key and slice; columns: LABEL_NAMES), and notes.

    Raises:
        DatasetError: unreadable, no key first, a subtype missing, a value other than 0 and 1, rows that conflict, or an `any` that is
            not the OR of the five.
    """
    rows = read_label_csv(path)
    key = str(rows.columns[0])
    if key not in SLICE_KEYS + SCAN_KEYS:
        known = ", ".join(SLICE_KEYS + SCAN_KEYS)
        raise DatasetError(f"{path}: the first column is {key}; it must be one of {known}", path=path)
    need_columns(path, rows, SUBTYPE_NAMES)
    notes = []
    if ANY.name not in rows:
        rows[ANY.name] = np.where((rows[list(SUBTYPE_NAMES)] == "1").any(axis=1), "1", "0")
        notes.append(f"{path.name} has no column any; it was taken as the OR of the five subtypes")
    name = rows[key] + ("#" + rows["slice"] if "slice" in rows else "")
    truth = as_bits(path, rows, LABEL_NAMES, name)
    check_any(path, truth, name)
    labels = pd.DataFrame(truth, index=pd.Index(name, name=key), columns=list(LABEL_NAMES))
    labels, repeats = without_repeats(path, labels)
    return key, labels, notes + repeats


def _volume(root: Path, file: Path) -> pd.DataFrame:
    path = file.relative_to(root).as_posix()
    try:
        return volume_rows(NiftiScan(file), path, stem_of(file), path)
    except PixelsUnreadableError as error:
        raise DatasetError(f"{root}: {error.message}; repair or remove it", root=root) from error


def _join(table: pd.DataFrame, labels: pd.DataFrame, key: str) -> tuple[pd.DataFrame, list[str]]:
    """The labelled slices, and the labels that no slice has. A volume's path alone labels the whole scan."""
    exact = table[key].where(table["slice_index"] < 0, table[key] + "#" + table["slice_index"].astype("str"))
    by_slice = labels.index.get_indexer(pd.Index(exact))
    by_scan = labels.index.get_indexer(pd.Index(table[key]))
    place = np.where(by_slice >= 0, by_slice, by_scan)
    whole = (by_slice < 0) & (table["slice_index"].to_numpy() >= 0) | np.isin(key, SCAN_KEYS)
    found = place >= 0
    joined = table[found].reset_index(drop=True)
    joined = joined.join(labels.iloc[place[found]].reset_index(drop=True))
    joined["labelled"] = np.where(whole[found], PER_SCAN, PER_SLICE)
    return joined, list(labels.index.delete(np.unique(place[found])))
