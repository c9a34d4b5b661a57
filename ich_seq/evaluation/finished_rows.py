"""What a finished row of the papers' table leaves in its run: its scores on validation patients, and `row.json`, written last."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from ich_seq.distrust import MOST_JSON, DamagedError, read_own, strict_object, unsealed
from ich_seq.errors import DatasetError
from ich_seq.evaluation.comparison import Entry, read_entry, read_scores

FACTS_FILE, VALIDATION_FILE = "row.json", "validation.csv"


class RowFacts(BaseModel):
    """What a row is and what it cost; wall times are of the machine as it was then."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    config: str
    """Name of the shipped config."""
    method: str
    """Trunk, outputs and input in words."""
    visits: int
    """Slices that stage one read in training, counted as often as they were read."""
    batch_size: int
    """Slices a step."""
    learning_rate: float
    """Peak rate."""
    weights: str
    """`none` (random) or `imagenet`: what stage one started from."""
    parameters: int
    """Of stage one: numbers in its network, statistics of batch norm included."""
    training_ms: float
    """Wall time of stage one's steps by visit, validation not counted, in ms."""
    reading_ms: float | None
    """Wall time of `extract-features` by slice, reading of DICOM included, in ms; null where a kill lost it."""


@dataclass(frozen=True)
class FinishedRow:
    """A finished row: `entry` has its evaluation and held-out scores, `validation` the same columns of validation patients."""

    name: str
    facts: RowFacts
    entry: Entry
    validation: pd.DataFrame


def is_finished(folder: Path) -> bool:
    """Whether the row in this run is finished: what is written last is there."""
    return (folder / FACTS_FILE).is_file()


def read_row(folder: Path) -> FinishedRow:
    """The finished row in a run.

    Raises:
        DatasetError: a file of it is missing or damaged.
        UsageError: it has no evaluation.
    """
    again = f"remove {folder} and run the same command again"
    try:
        content = unsealed(strict_object(read_own(folder / FACTS_FILE, MOST_JSON)))
        facts = RowFacts.model_validate(content)
    except (DamagedError, ValidationError, FileNotFoundError) as error:
        raise DatasetError(f"{folder / FACTS_FILE}: not the facts of a finished row; {again}") from error
    return FinishedRow(folder.name, facts, read_entry(folder), read_scores(folder / VALIDATION_FILE, again))
