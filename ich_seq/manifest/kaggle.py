"""Labels as Kaggle's file of RSNA 2019 lists them: `ID,Label`, six rows an image, `ID_<image>_<label>,0 or 1`."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from ich_seq.errors import DatasetError
from ich_seq.labels import ANY_INDEX, LABEL_NAMES

_ABSENT = 255
_LISTED = 10


def read_labels(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The six labels of each image (index: the stem of its file name), and notes on what was dropped.

    Rows that repeat an earlier one are dropped with a note; a byte order mark and Windows line ends are read past.

    Raises:
        DatasetError: unreadable, another header, an unknown label, a value other than 0 and 1, rows that conflict
            (`code` E-LABEL-CONFLICT), an image without all six (E-LABEL-INCOMPLETE), or an `any` that is not the OR
            of the five (E-LABEL-INCONSISTENT); the message counts them and names the first ten.
    """
    rows = _read_rows(path)
    parts = rows["ID"].str.rpartition("_")
    label = pd.Index(LABEL_NAMES).get_indexer(pd.Index(parts[2]))
    bad = (label < 0) | ~rows["Label"].isin(["0", "1"]).to_numpy() | (parts[0] == "").to_numpy()
    if bad.any():
        lines = rows["ID"][bad] + "," + rows["Label"][bad]
        raise _refused(path, "E-LABEL-INCOMPLETE", "rows with an unknown label or a value other than 0 and 1", lines)
    value = (rows["Label"] == "1").to_numpy(np.uint8)
    image, found = pd.factorize(parts[0])
    names = pd.Index(found, name="image")
    truth = np.full((len(names), len(LABEL_NAMES)), _ABSENT, np.uint8)
    truth[image, label] = value
    if (conflict := truth[image, label] != value).any():
        raise _refused(path, "E-LABEL-CONFLICT", "rows that contradict each other", rows["ID"].to_numpy()[conflict])
    _check_complete(path, names, truth)
    repeats = int(rows.duplicated("ID").sum())
    notes = [f"{path.name}: {repeats} rows repeat an earlier one; each counted once"] if repeats else []
    return pd.DataFrame(truth, index=names, columns=list(LABEL_NAMES)), notes


def _read_rows(path: Path) -> pd.DataFrame:
    try:
        rows = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file of labels", path=path) from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DatasetError(f"{path}: not a readable CSV file: {error}", path=path) from error
    if list(rows.columns) != ["ID", "Label"]:
        raise DatasetError(f"{path}: the first line must be `ID,Label`, not `{','.join(rows.columns)}`", path=path)
    return rows


def _check_complete(path: Path, names: pd.Index, truth: np.ndarray) -> None:
    if (missing := (truth == _ABSENT).any(axis=1)).any():
        raise _refused(path, "E-LABEL-INCOMPLETE", "images without a row for each of the six labels", names[missing])
    subtypes = np.delete(truth, ANY_INDEX, axis=1)
    if (odd := truth[:, ANY_INDEX] != subtypes.max(axis=1)).any():
        raise _refused(path, "E-LABEL-INCONSISTENT", "images whose `any` is not the OR of the subtypes", names[odd])


def _refused(path: Path, code: str, what: str, items: Iterable[str]) -> DatasetError:
    every = list(items)
    shown = ", ".join(every[:_LISTED]) + (", ..." if len(every) > _LISTED else "")
    return DatasetError(f"{path}: {code}: {len(every)} {what}: {shown}", path=path, code=code, items=every)
