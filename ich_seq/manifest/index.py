"""A dataset by its name -> the table of slices, labelled and split."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ich_seq.config import SplitConfig, load_config
from ich_seq.errors import DatasetError
from ich_seq.labels import ANY, LABEL_NAMES
from ich_seq.manifest.bhsd import index_bhsd
from ich_seq.manifest.cq500 import index_cq500
from ich_seq.manifest.ct_ich import index_ct_ich
from ich_seq.manifest.description import DatasetDescription, load_description
from ich_seq.manifest.headers import Progress
from ich_seq.manifest.own import index_own
from ich_seq.manifest.rsna import index_rsna
from ich_seq.manifest.split import SPLITS, check_no_leak, split_digest, split_table
from ich_seq.manifest.table import COLUMNS, OPTIONAL_COLUMNS, read_table, sort_slices

Reader = Callable[[DatasetDescription, Path, int, Progress | None], tuple[pd.DataFrame, list[str]]]
READERS: dict[str, Reader] = {
    "rsna": index_rsna,
    "cq500": index_cq500,
    "ct_ich": index_ct_ich,
    "bhsd": index_bhsd,
    "own": index_own,
}
"""How each layout is read: one function a layout, named in the dataset's description."""


@dataclass(frozen=True)
class IndexChoices:
    """What a user may choose beside dataset and root: another file of labels, patients to leave out, processes."""

    labels: Path | None = None
    exclude: tuple[Path, ...] = ()
    jobs: int = 0


def index_dataset(
    name: str, root: Path, split: SplitConfig, choices: IndexChoices | None = None, progress: Progress | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """The table of slices of a known dataset under `root`, and notes on what was dropped or differs from a full copy.

    Series run feet to head. The result does not depend on the number of processes.

    Raises:
        DatasetError: no such dataset or folder, faulty labels, more than 1 % of the images lost, or a patient or
            series on two sides of the split although the split is by patient.
    """
    choices = choices or IndexChoices()
    description = load_description(name)
    if choices.labels is not None:
        layout = description.layout.model_copy(update={"labels": str(choices.labels.resolve())})
        description = description.model_copy(update={"layout": layout})
    if description.layout.reader not in READERS:
        raise DatasetError(
            f"{name}: its layout {description.layout.reader!r} has no reader; known: {', '.join(READERS)}"
        )
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; --root is where {description.title} lies", root=root)
    table, notes = READERS[description.layout.reader](description, root, choices.jobs, progress)
    table, excluded = _without_patients_of(table, choices.exclude)
    table = sort_slices(table.assign(dataset=description.name))
    table["split"] = split_table(table, split)
    if not split.first_series:
        check_no_leak(table)
    table = table.reindex(columns=[*COLUMNS, *OPTIONAL_COLUMNS])
    words = [name for name, kind in OPTIONAL_COLUMNS.items() if kind == "str"]
    table[words] = table[words].astype("object").fillna("")  # NIfTI has none
    table = table.astype(COLUMNS | OPTIONAL_COLUMNS)
    table.attrs["root"] = str(root.resolve())  # travels inside the Parquet file, so that training finds the images
    return table, notes + excluded + _differences(description, table) + _split_notes(description, table, split)


def split_record(table: pd.DataFrame, split: SplitConfig) -> dict[str, Any]:
    """What is written beside the table: the rule, its numbers, how many are where, and the digest of who is where."""
    by_split = table.groupby("split")
    return {
        "rule": "first series, patients leak"
        if split.first_series
        else "folds by patient"
        if split.folds
        else "by patient",
        "split": split.model_dump(),
        "patients": by_split["patient_id"].nunique().to_dict(),
        "series": by_split["series_instance_uid"].nunique().to_dict(),
        "digest": split_digest(table),
    }


def summarise(table: pd.DataFrame) -> str:
    """One line for each split that has slices and one for all: patients, series, slices, share with any haemorrhage."""
    parts = [*((name, table[table["split"] == name]) for name in SPLITS), ("all", table)]
    return "\n".join(
        f"{name:<12}{part['patient_id'].nunique():>8} patients{part['series_instance_uid'].nunique():>8} series"
        f"{len(part):>9} slices   {part[ANY.name].mean():6.1%} with {ANY.title.lower()}"
        for name, part in parts
        if len(part)
    )


def _without_patients_of(table: pd.DataFrame, others: tuple[Path, ...]) -> tuple[pd.DataFrame, list[str]]:
    """The table without the patients and the studies that are in other tables, and a note for each of those tables."""
    notes = []
    for path in others:
        other = read_table(path)
        shared = table["patient_id"].isin(other["patient_id"]) | table["study_instance_uid"].isin(
            other["study_instance_uid"]
        )
        shared = table["patient_id"].isin(table["patient_id"][shared])
        patients = table["patient_id"][shared].nunique()
        notes.append(f"{patients:,} patients with {int(shared.sum()):,} slices are left out: they are in {path.name}")
        table = table[~shared].reset_index(drop=True)
        if table.empty:
            raise DatasetError(f"{path}: excludes every patient", path=path)
    return table, notes


def _split_notes(description: DatasetDescription, table: pd.DataFrame, split: SplitConfig) -> list[str]:
    if split.first_series:
        both = table.groupby("patient_id")["split"].nunique()
        return [
            f"THE SPLIT LEAKS: {int((both > 1).sum()):,} patients are in more than one part; compare, do not conclude"
        ]
    expected = description.expected_split
    if expected is None or load_config(expected.config).split != split:
        return []
    found = split_digest(table)
    return [] if found == expected.digest else [f"the split's digest is {found}, a full copy gives {expected.digest}"]


def _differences(description: DatasetDescription, table: pd.DataFrame) -> list[str]:
    """What a full copy has and this table has not, and labels that no slice shows."""
    notes = [f"no slice shows {label}" for label in LABEL_NAMES if 1 not in table[label].to_numpy()]
    expected = description.expected
    if expected is None:
        return notes
    images = None if expected.images is None else expected.images - len(description.exclusions)
    found = {
        "images": (images, len(table)),
        "series": (expected.series, table["series_instance_uid"].nunique()),
        "patients": (expected.patients, table["patient_id"].nunique()),
    }
    return notes + [
        f"{here:,} {what} in the table; a full copy gives {there:,}"
        for what, (there, here) in found.items()
        if there is not None and there != here
    ]
