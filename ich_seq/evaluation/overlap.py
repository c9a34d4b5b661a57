"""Whether a table holds patients that a model learnt from.

A bundle keeps no trace of its patients: digests of identifiers, salted or not, can be reversed by trying, since identifiers are
short, and whoever holds the model may also hold a hospital's list. It keeps the name of its dataset and the SHA-256 of its table.
So the table that it was trained with decides, where it is at hand: beside the model in its run, or named by the user, and shown by
its digest to be the one. Without it another table of the same dataset is refused, since nobody can say who is in it.
"""

from dataclasses import dataclass

import pandas as pd

from ich_seq.errors import DatasetError
from ich_seq.model.bundle import TrainedOn

TAUGHT_SPLITS = ("stage_one", "stage_two", "validation")
"""Whoever fitted weights, chose epochs, calibration or thresholds."""
HELD_OUT_SPLIT = "test"
SAME_PATIENTS = (frozenset({"rsna2019", "bhsd"}),)
"""Datasets of which one is cut from the other."""
_WAY_OUT = "--allow-training-patients evaluates them all the same and says so in every output"


@dataclass(frozen=True)
class Scope:
    """The rows to evaluate, a sentence on whose they are, and whether they hold, or may hold, patients that taught the model."""

    rows: pd.DataFrame
    measured_on: str
    external: bool
    training_patients: bool


def rows_to_evaluate(
    trained_on: TrainedOn, table: pd.DataFrame, table_sha256: str, taught: pd.DataFrame | None, allow: bool
) -> Scope:
    """The rows of a table on which a model may be measured.

    Of the very table that it was trained with these are the rows of split `test`. Any other table is taken whole, once it is seen to
    share no patient with the training: `taught` is the table that the model was trained with, or None where it is not at hand; then
    a table of an unrelated dataset is taken uncompared, and the sentence says so. With `allow` every table is taken whole.

    Raises:
        DatasetError: patients are shared, or may be and cannot be compared; or nobody is held out.
    """
    dataset = str(table["dataset"].iloc[0])
    same_table = table_sha256 == trained_on.table_sha256
    if same_table and not allow:
        rows = table[table["split"] == HELD_OUT_SPLIT]
        if rows.empty:
            raise DatasetError(f"every patient of this table taught the model; {_WAY_OUT}")
        return Scope(rows, "Held-out patients of the table that the model was trained with.", False, False)
    if same_table:
        return Scope(table, "NOT HELD OUT: the very table that the model was trained with.", False, True)
    shared = None if taught is None else shared_patients(taught, table, _related(trained_on.dataset, dataset))
    if shared is None and _related(trained_on.dataset, dataset):
        return _unknown(trained_on, table, dataset, allow)
    if not shared:
        compared = (
            " Whether patients of the table taught it was not compared: the table that it was trained with is not at hand."
            if shared is None
            else " No patient of the table taught it."
        )
        sentence = f"All scans of a table of {dataset}; the model was trained on {trained_on.dataset}.{compared}"
        return Scope(table, sentence, True, False)
    if not allow:
        raise DatasetError(
            f"{len(shared)} of {table['patient_id'].nunique()} patients taught the model, {shared[0]} among them; leave them out with "
            f"`ichseq index --exclude`, or measure the run's held-out patients with `ichseq evaluate --run`; {_WAY_OUT}",
            patient_ids=tuple(shared),
        )
    sentence = f"NOT HELD OUT: {len(shared)} of {table['patient_id'].nunique()} patients taught the model."
    return Scope(table, sentence, not same_table, True)


def shared_patients(taught: pd.DataFrame, table: pd.DataFrame, related: bool) -> list[str]:
    """Patients of `table` of whom a study taught, or, in related datasets, whose identifier is one that taught; sorted.

    Identifiers of unrelated datasets may be equal by chance (`1`, `2`, ...); StudyInstanceUIDs are not.
    """
    teachers = taught[taught["split"].isin(TAUGHT_SPLITS)]
    same = table["study_instance_uid"].isin(teachers["study_instance_uid"])
    if related:
        same |= table["patient_id"].isin(teachers["patient_id"])
    return sorted(set(table["patient_id"][same].astype(str)))


def _related(one: str, other: str) -> bool:
    return one == other or any({one, other} <= group for group in SAME_PATIENTS)


def _unknown(trained_on: TrainedOn, table: pd.DataFrame, dataset: str, allow: bool) -> Scope:
    if not allow:
        raise DatasetError(
            f"the model was trained on {trained_on.dataset} and this is another table of {dataset}: whether patients are on both "
            f"sides cannot be told; name the table that it was trained with by --training-table (RUN/table.parquet); {_WAY_OUT}"
        )
    sentence = f"PERHAPS NOT HELD OUT: the model was trained on {trained_on.dataset}, and it is not known on which of these patients."
    return Scope(table, sentence, True, True)
