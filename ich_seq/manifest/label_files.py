"""What all files of labels share: reading a CSV as text, and the refusals of labels that contradict each other."""

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from ich_seq.dicom import Code
from ich_seq.errors import DatasetError
from ich_seq.labels import ANY_INDEX

_CHUNK_ROWS = 65_536
"""A block is read as Python's strings, six times the size of what is kept of it."""
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
LISTED = 10
"""How many of the faulty a message names."""


def read_label_csv(path: Path) -> pd.DataFrame:
    """Every cell as the text it is, in named columns; a byte order mark and Windows line ends are read past.

    A header cell that runs over several lines becomes one line.

    Raises:
        DatasetError: no such file, not CSV, or columns that anything but commas separates (`code` E-LABEL-INCOMPLETE).
    """
    try:
        with pd.read_csv(
            path, dtype="str", keep_default_na=False, encoding="utf-8-sig", chunksize=_CHUNK_ROWS
        ) as blocks:
            rows = pd.concat(list(blocks), ignore_index=True)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file of labels", path=path) from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DatasetError(f"{path}: not a readable CSV file: {error}", path=path) from error
    head = str(rows.columns[0])
    if len(rows.columns) == 1 and (used := next((name for mark, name in _SEPARATORS.items() if mark in head), "")):
        code = Code.E_LABEL_INCOMPLETE.value
        raise DatasetError(f"{path}: {code}: {used} separate its columns; save it with commas", path=path, code=code)
    rows.columns = [" ".join(str(name).split()) for name in rows.columns]
    return rows


def need_columns(path: Path, rows: pd.DataFrame, names: Iterable[str]) -> None:
    """Nothing when the file has every column.

    Raises:
        DatasetError: it lacks some; the message names them and those that there are.
    """
    if missing := [name for name in names if name not in rows]:
        raise DatasetError(f"{path}: no column {', '.join(missing)}; it has {', '.join(rows.columns[:20])}", path=path)


def as_bits(path: Path, rows: pd.DataFrame, columns: Iterable[str], key: pd.Series) -> np.ndarray:
    """The columns, which hold 0 or 1 only, as uint8 in shape (rows, columns).

    Raises:
        DatasetError: another value (`code` E-LABEL-INCOMPLETE); the first ten rows are named by their key.
    """
    text = rows[list(columns)]
    odd = ~text.isin(["0", "1"]).all(axis=1)
    if odd.any():
        raise refused(path, "E-LABEL-INCOMPLETE", "rows with a value other than 0 and 1", key[odd])
    return (text == "1").to_numpy(np.uint8)


def check_any(path: Path, truth: np.ndarray, key: Iterable[object]) -> None:
    """Nothing when `any` is the OR of the five in each row of `truth`, whose columns are LABEL_NAMES.

    Raises:
        DatasetError: it is not (`code` E-LABEL-INCONSISTENT).
    """
    odd = truth[:, ANY_INDEX] != np.delete(truth, ANY_INDEX, axis=1).max(axis=1)
    if odd.any():
        names = np.asarray(list(key))[odd]
        raise refused(path, "E-LABEL-INCONSISTENT", "images whose `any` is not the OR of the subtypes", names)


def without_repeats(path: Path, labels: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The labels with each key once, and a note of how many rows said the same again.

    Raises:
        DatasetError: rows of one key differ (`code` E-LABEL-CONFLICT).
    """
    repeated = labels.index.duplicated()
    same = labels.reset_index().duplicated().to_numpy()
    if (conflict := repeated & ~same).any():
        keys = ["/".join(map(str, key)) if isinstance(key, tuple) else key for key in labels.index[conflict]]
        raise refused(path, "E-LABEL-CONFLICT", "rows that contradict each other", keys)
    notes = [f"{path.name}: {repeated.sum()} rows repeat an earlier one; each counted once"] if repeated.any() else []
    return labels[~repeated], notes


def counted(what: str, items: Collection[str]) -> list[str]:
    """A note that counts the items and names the first ten; none for none."""
    if not len(items):
        return []
    return [f"{len(items)} {what}: {'; '.join(list(items)[:LISTED])}{'; ...' if len(items) > LISTED else ''}"]


def refused(path: Path, code: str, what: str, items: Iterable[object]) -> DatasetError:
    """The refusal of a file of labels by the value of a `Code`: how many there are of the faulty, the first ten, what to do."""
    remedy = Code(code).remedy
    every = [str(item) for item in items]
    shown = ", ".join(every[:LISTED]) + (", ..." if len(every) > LISTED else "")
    return DatasetError(f"{path}: {code}: {len(every)} {what}: {shown}. {remedy}", path=path, code=code, items=every)
