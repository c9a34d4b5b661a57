"""Labels as Kaggle's file of RSNA 2019 lists them: `ID,Label`, six rows an image, `ID_<image>_<label>,0 or 1`."""

from pathlib import Path

import numpy as np
import pandas as pd

from ich_seq.errors import DatasetError
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.label_files import check_any, read_label_csv, refused

_ABSENT = 255
_BLOCK_ROWS = 65_536


def read_labels(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The six labels of each image (index: the stem of its file name), and notes on what was dropped.

    Rows that repeat an earlier one are dropped with a note; a byte order mark and Windows line ends are read past.

    Raises:
        DatasetError: unreadable, another header, an unknown label, a value other than 0 and 1, rows that conflict
            (`code` E-LABEL-CONFLICT), an image without all six (E-LABEL-INCOMPLETE), or an `any` that is not the OR
            of the five (E-LABEL-INCONSISTENT); the message counts them and names the first ten.
    """
    rows = read_label_csv(path)
    if list(rows.columns) != ["ID", "Label"]:
        raise DatasetError(f"{path}: the first line must be `ID,Label`, not `{','.join(rows.columns)}`", path=path)
    image, found, label = _divided(rows["ID"])
    bad = (label < 0) | ~rows["Label"].isin(["0", "1"]).to_numpy() | (found == "")[image]
    if bad.any():
        lines = rows["ID"][bad] + "," + rows["Label"][bad]
        raise refused(path, "E-LABEL-INCOMPLETE", "rows with an unknown label or a value other than 0 and 1", lines)
    value = (rows["Label"] == "1").to_numpy(np.uint8)
    names = pd.Index(found, name="image")
    truth = np.full((len(names), len(LABEL_NAMES)), _ABSENT, np.uint8)
    truth[image, label] = value
    if (conflict := truth[image, label] != value).any():
        raise refused(path, "E-LABEL-CONFLICT", "rows that contradict each other", rows["ID"].to_numpy()[conflict])
    if (missing := (truth == _ABSENT).any(axis=1)).any():
        raise refused(path, "E-LABEL-INCOMPLETE", "images without a row for each of the six labels", names[missing])
    check_any(path, truth, found)
    repeats = len(rows) - truth.size
    notes = [f"{path.name}: {repeats} rows repeat an earlier one; each counted once"] if repeats else []
    return pd.DataFrame(truth, index=names, columns=list(LABEL_NAMES)), notes


def _divided(ids: pd.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each ID's image as a number, the images' names in order of appearance, and each ID's label (-1: unknown).

    In blocks: cut in three, 4.5 million IDs take a gigabyte.
    """
    images, names, labels, before = [], [np.empty(0, object)], [np.empty(0, np.intp)], 0
    for start in range(0, len(ids), _BLOCK_ROWS):
        parts = ids.iloc[start : start + _BLOCK_ROWS].str.rpartition("_")
        number, found = pd.factorize(parts[0].to_numpy(object))
        images.append(before + number)
        names.append(found)
        labels.append(pd.Index(LABEL_NAMES).get_indexer(pd.Index(parts[2])))
        before += len(found)
    same, found = pd.factorize(np.concatenate(names))
    return same[np.concatenate(images)] if images else same, found, np.concatenate(labels)
