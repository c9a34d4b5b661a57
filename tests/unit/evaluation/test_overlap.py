"""Whether patients taught a model: refused, told apart, or said not to be known."""

import pandas as pd
import pytest

from ich_seq.errors import DatasetError
from ich_seq.evaluation.overlap import rows_for_all, rows_to_choose_on, rows_to_evaluate, shared_patients
from ich_seq.model.bundle import TrainedOn

DIGEST, OTHER = "a" * 64, "b" * 64


def table(dataset: str, rows: dict[str, str], study: str = "study") -> pd.DataFrame:
    """One slice for each patient, who is in the split named."""
    names = list(rows)
    studies = [f"{study} {name}" for name in names]
    fields = {"dataset": dataset, "patient_id": names, "study_instance_uid": studies, "split": list(rows.values())}
    return pd.DataFrame(fields)


def trained_on(dataset: str = "own") -> TrainedOn:
    return TrainedOn(dataset=dataset, description="", patients=1, scans=1, slices=1, table_sha256=DIGEST)


TAUGHT = table("own", {"p1": "stage_one", "p2": "stage_two", "p3": "validation", "p4": "test"})


def test_of_the_table_that_taught_it_only_held_out_patients_are_taken() -> None:
    scope = rows_to_evaluate(trained_on(), TAUGHT, DIGEST, TAUGHT, False)
    assert scope.rows["patient_id"].tolist() == ["p4"]
    assert (scope.external, scope.training_patients) == (False, False)
    with pytest.raises(DatasetError, match="every patient of this table taught the model"):
        rows_to_evaluate(trained_on(), TAUGHT.iloc[:3], DIGEST, None, False)


def test_another_split_of_the_same_patients_is_refused_with_the_ways_out() -> None:
    again = table("own", {"p1": "test", "p4": "test", "p9": "stage_one"}, "another study")
    with pytest.raises(DatasetError, match=r"1 of 3 patients taught the model, p1 among them; .*--exclude.*--allow"):
        rows_to_evaluate(trained_on(), again, OTHER, TAUGHT, False)
    scope = rows_to_evaluate(trained_on(), again, OTHER, TAUGHT, True)
    assert len(scope.rows) == 3
    assert scope.training_patients
    assert scope.measured_on == "NOT HELD OUT: 1 of 3 patients taught the model."


def test_a_table_of_the_same_dataset_that_shares_nobody_is_taken_whole() -> None:
    scope = rows_to_evaluate(trained_on(), table("own", {"p4": "test", "p8": "stage_one"}), OTHER, TAUGHT, False)
    assert len(scope.rows) == 2
    assert (scope.external, scope.training_patients) == (True, False)


@pytest.mark.parametrize(("taught_on", "dataset"), [("own", "own"), ("rsna2019", "bhsd"), ("bhsd", "rsna2019")])
def test_without_the_training_table_a_related_dataset_is_refused(taught_on: str, dataset: str) -> None:
    other = table(dataset, {"p9": "test"})
    with pytest.raises(DatasetError, match=r"cannot be told; name the table .* by --training-table"):
        rows_to_evaluate(trained_on(taught_on), other, OTHER, None, False)
    scope = rows_to_evaluate(trained_on(taught_on), other, OTHER, None, True)
    assert scope.training_patients
    assert scope.measured_on.startswith("PERHAPS NOT HELD OUT")


def test_another_dataset_needs_nothing_and_equal_identifiers_there_are_chance() -> None:
    other = table("cq500", {"p1": "test"}, "theirs")
    for taught in (None, TAUGHT):
        scope = rows_to_evaluate(trained_on(), other, OTHER, taught, False)
        assert (scope.external, scope.training_patients) == (True, False)
    assert shared_patients(TAUGHT, table("cq500", {"p1": "test"}), related=False) == ["p1"]  # the very study


def test_of_several_tables_that_taught_an_ensemble_each_may_forbid() -> None:
    """The table at hand taught one member, another one a second member: those held out of the first are compared with the second."""
    other = TrainedOn(dataset="own", description="", patients=1, scans=1, slices=1, table_sha256=OTHER)
    stranger = table("own", {"p4": "test", "p9": "stage_one"})
    scope = rows_for_all([(other, stranger), (trained_on(), TAUGHT)], TAUGHT, DIGEST, False)
    assert scope.rows["patient_id"].tolist() == ["p4"]
    assert (scope.external, scope.training_patients) == (False, False)
    assert scope.measured_on == "Held-out patients of the table that the model was trained with."
    teacher = table("own", {"p4": "stage_one"})
    with pytest.raises(DatasetError, match="1 of 1 patients taught the model, p4 among them"):
        rows_for_all([(trained_on(), TAUGHT), (other, teacher)], TAUGHT, DIGEST, False)
    with pytest.raises(DatasetError, match="cannot be told; name the table"):
        rows_for_all([(trained_on(), TAUGHT), (other, None)], TAUGHT, DIGEST, False)
    allowed = rows_for_all([(trained_on(), TAUGHT), (other, teacher)], TAUGHT, DIGEST, True)
    assert allowed.training_patients
    assert allowed.measured_on.startswith("NOT HELD OUT: the very table")
    abroad = TrainedOn(dataset="cq500", description="", patients=1, scans=1, slices=1, table_sha256=OTHER)
    found = rows_for_all([(trained_on(), TAUGHT), (abroad, None)], TAUGHT, DIGEST, False)
    assert found.measured_on.endswith(
        "Whether the patients of another table, of cq500, are among them was not compared."
    )


def test_validation_patients_choose_an_ensemble_unless_they_taught_a_members_weights() -> None:
    """Who validated a member may validate the ensemble too: that is the same choice once more."""
    here = table("own", {"p1": "validation", "p3": "validation", "p7": "test"}).assign(labelled="slice")
    alike = table("own", {"p1": "validation", "p3": "validation", "p7": "stage_one"})
    scope = rows_to_choose_on([("one", (trained_on(), alike))], here, OTHER, False)
    assert scope.rows["patient_id"].tolist() == ["p1", "p3"]
    assert not scope.training_patients
    with pytest.raises(DatasetError, match="1 of 2 validation patients taught two, p1 among them, which would"):
        rows_to_choose_on([("one", (trained_on(), alike)), ("two", (trained_on(), TAUGHT))], here, OTHER, False)
    with pytest.raises(
        DatasetError, match="one was trained on own and this is another table of own: whether its validation"
    ):
        rows_to_choose_on([("one", (trained_on(), None))], here, OTHER, False)
    for taught in (TAUGHT, None):
        assert rows_to_choose_on([("one", (trained_on(), taught))], here, OTHER, True).training_patients
    assert not rows_to_choose_on([("one", (trained_on("cq500"), None))], here, OTHER, False).training_patients


def test_a_split_that_leaks_is_seen_in_the_very_table_that_taught_a_member() -> None:
    leaking = pd.concat([TAUGHT, table("own", {"p1": "validation"}, "another study")]).assign(labelled="slice")
    with pytest.raises(DatasetError, match="1 of 2 validation patients taught one, p1 among them"):
        rows_to_choose_on([("one", (trained_on(), None))], leaking, DIGEST, False)
