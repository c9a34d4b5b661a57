"""A dataset by its name -> the table of slices, labelled and split."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ich_seq.config import SplitConfig
from ich_seq.errors import DatasetError
from ich_seq.labels import ANY, LABEL_NAMES
from ich_seq.manifest.description import DatasetDescription, load_description
from ich_seq.manifest.headers import Progress
from ich_seq.manifest.rsna import index_rsna
from ich_seq.manifest.split import SPLITS, check_no_leak, split_patients
from ich_seq.manifest.table import COLUMNS, sort_slices

Reader = Callable[[DatasetDescription, Path, int, Progress | None], tuple[pd.DataFrame, list[str]]]
READERS: dict[str, Reader] = {"rsna": index_rsna}
"""How each layout is read: one function a layout, named in the dataset's description."""


def index_dataset(
    name: str, root: Path, split: SplitConfig, jobs: int = 0, progress: Progress | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """The table of slices of a known dataset under `root`, and notes on what was dropped or differs from a full copy.

    Series run feet to head. `jobs` processes read headers, 0 for one a core; the result does not depend on their number.

    Raises:
        DatasetError: no such dataset or folder, faulty labels, more than 1 % of the images lost, or a patient or
            series on two sides of the split.
    """
    description = load_description(name)
    if description.layout.reader not in READERS:
        raise DatasetError(
            f"{name}: its layout {description.layout.reader!r} has no reader; known: {', '.join(READERS)}"
        )
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; --root is where {description.title} lies", root=root)
    table, notes = READERS[description.layout.reader](description, root, jobs, progress)
    table = sort_slices(table.assign(dataset=description.name))
    table["split"] = split_patients(table, split)
    check_no_leak(table)
    table = table.reindex(columns=list(COLUMNS)).astype(COLUMNS)
    table.attrs["root"] = str(root.resolve())  # travels inside the Parquet file, so that training finds the images
    return table, notes + _differences(description, table)


def summarise(table: pd.DataFrame) -> str:
    """One line for each split that has slices and one for all: patients, series, slices, share with any haemorrhage."""
    parts = [*((name, table[table["split"] == name]) for name in SPLITS), ("all", table)]
    return "\n".join(
        f"{name:<12}{part['patient_id'].nunique():>8} patients{part['series_instance_uid'].nunique():>8} series"
        f"{len(part):>9} slices   {part[ANY.name].mean():6.1%} with {ANY.title.lower()}"
        for name, part in parts
        if len(part)
    )


def _differences(description: DatasetDescription, table: pd.DataFrame) -> list[str]:
    """What a full copy has and this table has not, and labels that no slice shows."""
    notes = [f"no slice shows {label}" for label in LABEL_NAMES if 1 not in table[label].to_numpy()]
    expected = description.expected
    if expected is None:
        return notes
    found = {
        "images": (expected.images - len(description.exclusions), len(table)),
        "series": (expected.series, table["series_instance_uid"].nunique()),
        "patients": (expected.patients, table["patient_id"].nunique()),
    }
    return notes + [
        f"{here:,} {what} in the table; a full copy gives {there:,}"
        for what, (there, here) in found.items()
        if there != here
    ]
