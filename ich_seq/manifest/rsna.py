"""RSNA's layout: single files `ID_<image>.dcm` in one folder, and a file of labels joined on their stems."""

from collections.abc import Collection
from pathlib import Path, PurePosixPath

import pandas as pd

from ich_seq.errors import DatasetError
from ich_seq.manifest.description import DatasetDescription, find_names
from ich_seq.manifest.headers import Progress, read_headers
from ich_seq.manifest.kaggle import read_labels
from ich_seq.manifest.label_files import counted
from ich_seq.manifest.table import PER_SLICE

MOST_LOST = 0.01
"""Largest share of images that may be unreadable, or without labels, or of labels without an image."""


def index_rsna(
    description: DatasetDescription, root: Path, jobs: int, progress: Progress | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Headers and labels of every usable image, one row each in no particular order, and notes on what was left out.

    Raises:
        DatasetError: no image, faulty labels, or more than 1 % of the images unreadable or without a partner.
    """
    labels, notes = read_labels(root / description.layout.labels)
    excluded = {exclusion.image: exclusion.reason for exclusion in description.exclusions}
    files = find_names(description, root)
    left_out = [file for file in files if _stem(file) in excluded]
    notes += [f"{PurePosixPath(file).name}: left out: {excluded[_stem(file)]}" for file in left_out]
    headers = read_headers(root, [file for file in files if _stem(file) not in excluded], jobs, progress)
    notes += _lost(root, "files cannot be used and are dropped", headers.failures.values(), len(files))
    _refuse_repeated_uids(root, headers.table)
    table = headers.table.assign(image=headers.table["path"].map(_stem))
    on_disk = {_stem(file) for file in files}
    unlabelled = table["image"][labels.index.get_indexer(pd.Index(table["image"])) < 0]
    imageless = labels.index.difference(pd.Index(sorted(on_disk | set(excluded))))
    notes += _lost(root, "images have no label and are dropped", unlabelled, len(files))
    notes += _lost(root, "labels have no image and are dropped", imageless, len(labels))
    joined = table.merge(labels, left_on="image", right_index=True).drop(columns="image")
    return joined.assign(labelled=PER_SLICE), notes


def _stem(path: str) -> str:
    return PurePosixPath(path).stem


def _lost(root: Path, what: str, items: Collection[str], total: int) -> list[str]:
    """A note that counts them and names the first ten; none for none.

    Raises:
        DatasetError: they are more than 1 % of the total.
    """
    notes = counted(what, items)
    if len(items) > MOST_LOST * total:
        raise DatasetError(f"{root}: more than {MOST_LOST:.0%} of {total}: {notes[0]}", root=root, count=len(items))
    return notes


def _refuse_repeated_uids(root: Path, table: pd.DataFrame) -> None:
    repeated = table["path"][table["sop_instance_uid"].duplicated(keep=False)]
    if len(repeated):
        shown = ", ".join(repeated[:10])
        raise DatasetError(
            f"{root}: {len(repeated)} files share a SOPInstanceUID with another: {shown}; keep one of each", root=root
        )
