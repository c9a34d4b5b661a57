"""Whether a table holds patients that a model learnt from.

A bundle keeps no trace of its patients: digests of identifiers, salted or not, can be reversed by trying, since identifiers are
short, and whoever holds the model may also hold a hospital's list. It keeps the name of its dataset and the SHA-256 of its table.
So the table that it was trained with decides, where it is at hand: beside the model in its run, or named by the user, and shown by
its digest to be the one. Without it another table of the same dataset is refused, since nobody can say who is in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ich_seq.errors import DatasetError
from ich_seq.manifest.table import PER_SCAN
from ich_seq.model.bundle import TrainedOn

TAUGHT_SPLITS = ("stage_one", "stage_two", "validation")
"""Whoever fitted weights, chose epochs, calibration or thresholds."""
WEIGHT_SPLITS = ("stage_one", "stage_two")
"""Whoever fitted weights: the others of TAUGHT_SPLITS may choose an ensemble, which is once more a choice on validation patients."""
HELD_OUT_SPLIT, VALIDATION_SPLIT = "test", "validation"
SAME_PATIENTS = (frozenset({"rsna2019", "bhsd"}),)
"""Datasets of which one is cut from the other."""
_CHOOSE_ANYWAY = "--allow-training-patients chooses on them all the same, and the model's card says so"
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


Teacher = tuple[TrainedOn, pd.DataFrame | None]
"""What taught a model, and the table itself, where it is at hand."""


def rows_for_all(teachers: Sequence[Teacher], table: pd.DataFrame, table_sha256: str, allow: bool) -> Scope:
    """As `rows_to_evaluate`, of a model that several tables taught, as they may an ensemble: rows on which none of them forbids it.

    Raises:
        DatasetError: as `rows_to_evaluate`.
    """
    first, *others = sorted(teachers, key=lambda teacher: teacher[0].table_sha256 != table_sha256)
    scope = rows_to_evaluate(first[0], table, table_sha256, first[1], allow)
    told, external, forbidden = [scope.measured_on], scope.external, scope.training_patients
    for trained_on, taught in others:
        found = rows_to_evaluate(trained_on, scope.rows, table_sha256, taught, allow)
        forbidden |= found.training_patients
        if found.training_patients:
            told.append(found.measured_on)
        elif taught is None:
            told.append(
                f"Whether the patients of another table, of {trained_on.dataset}, are among them was not compared."
            )
    sentence = " ".join(dict.fromkeys(told))
    return Scope(scope.rows, sentence, external, forbidden)


def rows_to_choose_on(teachers: Sequence[tuple[str, Teacher]], table: pd.DataFrame, sha256: str, allow: bool) -> Scope:
    """The validation rows of a table, on which an ensemble of models may be chosen; each teacher bears its model's name.

    Nobody whose scans fitted a member's weights may be among them: the member would look better than it is. `allow` lets them pass.

    Raises:
        DatasetError: they are, or may be and cannot be compared; nobody is in the split; or labels are of whole scans.
    """
    rows = table[table["split"] == VALIDATION_SPLIT]
    dataset = str(table["dataset"].iloc[0])
    if rows.empty:
        raise DatasetError(f"the table has no patients in the split `{VALIDATION_SPLIT}`, who choose an ensemble")
    if (rows["labelled"] == PER_SCAN).any():
        raise DatasetError("the table's labels are of whole scans; an ensemble is chosen on labels of slices")
    for name, (trained_on, taught) in teachers:
        known = table if sha256 == trained_on.table_sha256 else taught
        related = _related(trained_on.dataset, dataset)
        if known is None and related and not allow:
            raise DatasetError(
                f"{name} was trained on {trained_on.dataset} and this is another table of {dataset}: whether its validation patients "
                "taught that model cannot be told; name the table that it was trained with by --training-table (RUN/table.parquet); "
                f"{_CHOOSE_ANYWAY}"
            )
        shared = [] if known is None else shared_patients(known, rows, related, WEIGHT_SPLITS)
        if shared and not allow:
            raise DatasetError(
                f"{len(shared)} of {rows['patient_id'].nunique()} validation patients taught {name}, {shared[0]} among them, "
                f"which would make it look better than it is; index a table that keeps them apart; {_CHOOSE_ANYWAY}",
                patient_ids=tuple(shared),
            )
        if shared or (known is None and related):
            return Scope(rows, "Some validation patients taught a member, or may have.", False, True)
    return Scope(rows, "Validation patients, none of whom is known to have taught a member's weights.", False, False)


def shared_patients(
    taught: pd.DataFrame, table: pd.DataFrame, related: bool, splits: Sequence[str] = TAUGHT_SPLITS
) -> list[str]:
    """Patients of `table` of whom a study taught, or, in related datasets, whose identifier is one that taught; sorted.

    Those of `taught` count that are in one of the `splits`. Identifiers of unrelated datasets may be equal by chance (`1`, `2`, ...);
    StudyInstanceUIDs are not.
    """
    teachers = taught[taught["split"].isin(splits)]
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
