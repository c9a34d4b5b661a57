"""CQ500: one folder a scan with several series, and what three readers said of each scan."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ich_seq.dicom import Series, read_study_files
from ich_seq.errors import DatasetError, IchSeqError
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.description import DatasetDescription, find_images
from ich_seq.manifest.header_rows import Row, row_of
from ich_seq.manifest.headers import Progress
from ich_seq.manifest.label_files import as_bits, counted, need_columns, read_label_csv, refused
from ich_seq.manifest.table import HEADER_COLUMNS, OPTIONAL_COLUMNS, PER_SCAN
from ich_seq.pools import in_order

READERS = ("R1", "R2", "R3")
MAJORITY = 2
# In the order of LABEL_NAMES.
_COLUMNS = ("EDH", "IPH", "IVH", "SAH", "SDH", "ICH")
_NUMBER = re.compile(r"CQ500-?CT-?(\d+)", re.IGNORECASE)


def index_cq500(
    description: DatasetDescription, root: Path, jobs: int, progress: Progress | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """One series of each scan, chosen as `score-study` chooses, every slice with its scan's labels, and notes.

    Raises:
        DatasetError: no scan, faulty labels, or more than 1 % of the labelled scans without a usable series.
    """
    labels, notes = read_reads(root / description.layout.labels)
    folders = {number: path for path in find_images(description, root) if (number := _number(path.name))}
    wanted = sorted(set(folders) & set(labels.index), key=int)
    parts: list[pd.DataFrame] = []
    lost: list[str] = []
    scans = in_order(partial(_read_scan, root), [folders[number] for number in wanted], jobs)
    for done, (number, found) in enumerate(zip(wanted, scans, strict=True), start=1):
        if isinstance(found, str):
            lost.append(f"CQ500-CT-{number}: {found}")
        else:
            parts.append(_labelled(found, labels[labels.index == number], number))
        if progress is not None:
            progress(done, len(wanted))
    notes += counted("scans have no usable series and are left out", lost)
    notes += counted("scans have no labels and are left out", sorted(set(folders) - set(labels.index), key=int))
    notes += counted("labels have no scan", sorted(set(labels.index) - set(folders), key=int))
    if not parts:
        raise DatasetError(f"{root}: no scan has both labels and a usable series: {'; '.join(notes)}", root=root)
    return pd.concat(parts, ignore_index=True).assign(labelled=PER_SCAN), notes


def read_reads(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """LABEL_NAMES by scan number: present where at least two of the three readers said so, and notes.

    `any` is the majority on ICH; where the readers agree that there is a bleed and not of which kind, no subtype is present.

    Raises:
        DatasetError: unreadable, a column missing, a value other than 0 and 1, a scan listed twice, or a subtype present without any.
    """
    rows = read_label_csv(path)
    need_columns(path, rows, ["name", *(f"{reader}:{column}" for reader in READERS for column in _COLUMNS)])
    number = rows["name"].map(_number)
    if (bad := number == "").any():
        raise refused(path, "E-LABEL-INCOMPLETE", "rows whose name is not CQ500-CT-<number>", rows["name"][bad])
    if (twice := number.duplicated(keep=False)).any():
        raise refused(path, "E-LABEL-CONFLICT", "rows name a scan that another row names", rows["name"][twice])
    votes = sum(
        as_bits(path, rows, [f"{reader}:{column}" for column in _COLUMNS], rows["name"]).astype(int)
        for reader in READERS
    )
    truth = (np.asarray(votes) >= MAJORITY).astype(np.uint8)
    found = pd.DataFrame(truth, index=pd.Index(number), columns=list(LABEL_NAMES))
    subtype, some = truth[:, :-1].max(axis=1), truth[:, -1]
    if (odd := (subtype == 1) & (some == 0)).any():
        raise refused(path, "E-LABEL-INCONSISTENT", "scans with a subtype and without ICH", rows["name"][odd])
    notes = counted(
        "scans have ICH by majority and no subtype by majority", list(rows["name"][(some == 1) & (subtype == 0)])
    )
    return found, notes


def _number(name: str) -> str:
    """`CQ500-CT-12` and `CQ500CT12 CQ500CT12` -> `12`; empty for anything else."""
    match = _NUMBER.match(name)
    return str(int(match.group(1))) if match else ""


def _read_scan(root: Path, folder: Path) -> list[Row] | str:
    """The rows of the folder's best series, or why there is none."""
    try:
        studies = read_study_files([folder]).studies
    except IchSeqError as error:
        return error.message
    usable = [study.chosen for study in studies if study.chosen is not None and study.refusal is None]
    if not usable:
        return next((study.refusal.message for study in studies if study.refusal), "no series can be used")
    series = max(usable, key=lambda each: (len(each), each.series_instance_uid))
    if len({header.name for header in series.headers}) < len(series):
        return "several slices in one file, which a table of slices cannot say"
    return _rows(root, folder, series)


def _rows(root: Path, folder: Path, series: Series) -> list[Row]:
    base = folder.relative_to(root)
    return [
        row_of((base / header.name).as_posix(), header, position)
        for header, position in zip(series.headers, series.positions_mm, strict=True)
    ]


def _labelled(rows: Sequence[Row], truth: pd.DataFrame, number: str) -> pd.DataFrame:
    """The rows with the one line of labels of their scan."""
    columns = HEADER_COLUMNS | OPTIONAL_COLUMNS
    table = pd.DataFrame(rows, columns=list(columns)).astype(columns)
    table["patient_id"] = f"CQ500-CT-{number}"
    table[list(LABEL_NAMES)] = np.repeat(truth.to_numpy(), len(table), axis=0)
    return table
