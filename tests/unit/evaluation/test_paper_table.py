"""The table of the papers' methods: verdicts, what may be concluded, ensembles; on rows whose truth is known."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from finished_rows import read_row, rows_of, truth_of, write_row

from ich_seq.config import shipped_configs
from ich_seq.errors import DatasetError
from ich_seq.evaluation.comparison import compare
from ich_seq.evaluation.data import STAGE_ONE, STAGE_TWO
from ich_seq.evaluation.paper_result import PaperTable
from ich_seq.evaluation.paper_rows import QUESTIONS, QUICK_ROWS, ROWS
from ich_seq.evaluation.paper_table import About, paper_table
from ich_seq.metrics import weighted_log_loss

BLIND = 60.0
"""So much noise that nothing is seen."""


def table_of(rows: list, **about: dict[str, str]) -> PaperTable:
    prevalence = truth_of("validation").mean(axis=0)
    return paper_table(rows, prevalence, About("papers_table", {}, about.get("failed", {})), rounds=200)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> PaperTable:
    """One window sees less than three, sigmoid as much; paper 002 sees nothing."""
    rows = rows_of(
        tmp_path_factory.mktemp("rows"),
        lee2019_linear_brain=(3.0, 1.0),
        lee2019_linear=(1.2, 1.0),
        lee2019_sigmoid=(1.2, 1.0),
        kumar2021=(BLIND, BLIND),
        fahim2021=(3.0, 0.8),
    )
    return table_of(rows)


def system(table: PaperTable, row: str, stage: str = STAGE_ONE):
    return next(each for each in table.systems if (each.row, each.stage) == (row, stage))


def answer(table: PaperTable, title: str):
    return next(each for each in table.answers if each.title.startswith(title))


def test_every_row_is_a_shipped_config_and_every_pair_is_of_rows() -> None:
    rows = {row.config for row in ROWS}
    own = {"demo", "demo_quick", "recommended", "papers_table", "papers_quick", "fine_maps"}
    assert rows == set(shipped_configs()) - own
    assert {name for question in QUESTIONS for pair in question.pairs for name in (pair.first, pair.second)} <= rows
    assert set(QUICK_ROWS) < rows


def test_a_row_whose_gain_over_the_prevalence_does_not_exclude_zero_did_not_learn(table: PaperTable) -> None:
    for each in table.systems:
        assert each.gain.low is not None
        assert each.learnt == (each.gain.low > 0)
    assert {each.row for each in table.systems if not each.learnt} == {"kumar2021"}


def test_probabilities_of_balanced_batches_are_corrected_before_they_are_judged(tmp_path: Path) -> None:
    """A logit that is 3 too high has a loss above the floor's, and yet ranks as well as before."""
    plain, biased = (
        read_row(write_row(tmp_path / name, 1.2, 1.0, bias=bias))
        for name, bias in (("lee2019_linear", 0.0), ("lee2019_sigmoid", 3.0))
    )
    table = table_of([plain, biased])
    one, other = system(table, "lee2019_linear"), system(table, "lee2019_sigmoid")
    floor = next(each for each in table.floors if each.name == "prevalence")
    assert other.loss_as_it_is.value > floor.loss.value
    assert other.learnt
    assert other.loss.value == pytest.approx(one.loss.value, abs=1e-3), "the penalty is weak, not absent"
    assert other.auc == one.auc
    assert one.loss_as_it_is.value == pytest.approx(weighted_log_loss(truth_of("test"), _prob(plain)), abs=1e-9)


def _prob(row) -> np.ndarray:
    return row.entry.scores[[name for name in row.entry.scores if name.startswith("one_")]].to_numpy()


def test_differences_are_those_of_compare_and_positive_is_better(table: PaperTable, tmp_path: Path) -> None:
    (more,), (sigmoid,) = (each.differences for each in table.answers if each.title.startswith("Windowing"))
    assert (more.first, more.second) == ("lee2019_linear_brain", "lee2019_linear")
    assert more.loss.low > 0
    assert more.auc.low > 0
    assert sigmoid.loss.low < 0 < sigmoid.loss.high
    one, two = rows_of(tmp_path, lee2019_linear_brain=(3.0, 1.0), lee2019_linear=(1.2, 1.0))
    found = compare([one.entry, two.entry], rounds=200)
    theirs = next(each for each in found.systems if each.entry == two.name and each.system == STAGE_ONE).auc_difference
    assert theirs.value == pytest.approx(more.auc.value)
    assert theirs.low == pytest.approx(more.auc.low, abs=1e-9)


def test_nothing_is_concluded_of_a_row_that_did_not_learn(table: PaperTable, tmp_path: Path) -> None:
    blind = rows_of(tmp_path, lee2019_linear=(1.2, 1.0), lee2019_sigmoid=(BLIND, 1.0))
    (difference,) = answer(table_of(blind), "Windowing, sigmoid").differences
    assert difference.auc is difference.loss is None
    assert difference.did_not_learn == ("lee2019_sigmoid",)
    second = {each.first: each for each in answer(table, "Second stage").differences}
    assert second["kumar2021, stage one"].loss is None
    assert second["fahim2021, stage one"].loss.low > 0


def test_the_mean_of_pairs_is_over_those_that_say_something(table: PaperTable) -> None:
    stages = answer(table, "Second stage")
    values = [each.loss.value for each in stages.differences if each.loss is not None]
    assert len(values) == 4
    assert stages.mean_loss.value == pytest.approx(np.mean(values))


def test_the_papers_own_stage_is_two_for_the_two_stage_recipe_alone(table: PaperTable) -> None:
    own = {each.row: each.stage for each in table.systems if each.own}
    assert own.pop("fahim2021") == STAGE_TWO
    assert set(own.values()) == {STAGE_ONE}


def test_ensembles_are_of_the_rows_that_learnt_and_chosen_on_validation(table: PaperTable) -> None:
    found = table.ensembles
    assert found is not None
    assert set(found.members) == {"lee2019_linear_brain", "lee2019_linear", "lee2019_sigmoid", "fahim2021"}
    assert found.members[0] == found.best == "fahim2021"
    average = found.ways[0]
    assert average.way == "average"
    assert average.loss_difference.value == pytest.approx(found.best_loss.value - average.loss.value)
    assert found.search.subsets == 2**4 - 1
    assert average.auc.value > system(table, "lee2019_linear").auc[-1].value, "noise of their own averages out"


def test_one_learnt_row_is_no_ensemble(tmp_path: Path) -> None:
    assert table_of(rows_of(tmp_path, kumar2021=(1.0, 1.0), lussier=(BLIND, BLIND))).ensembles is None


def test_rows_that_failed_or_were_not_asked_for_are_listed(tmp_path: Path) -> None:
    table = table_of(rows_of(tmp_path, kumar2021=(1.0, 1.0)), failed={"lussier": "why"})
    assert table.failed == {"lussier": "why"}
    assert len(table.missing) == len(ROWS) - 2


def test_rows_on_another_truth_are_refused(tmp_path: Path) -> None:
    one, two = rows_of(tmp_path, kumar2021=(1.0, 1.0), lussier=(1.0, 1.0))
    two.entry.scores.loc[3, "any"] = 1 - two.entry.scores.loc[3, "any"]
    with pytest.raises(DatasetError, match="two rows of the table have other labels for a slice"):
        table_of([one, two])


def test_slices_that_one_row_could_not_score_are_left_out_of_all(tmp_path: Path) -> None:
    one, two = rows_of(tmp_path, kumar2021=(1.0, 1.0), lussier=(1.0, 1.0))
    fewer = dataclasses.replace(two, entry=dataclasses.replace(two.entry, scores=two.entry.scores[2:]))
    assert table_of([one, fewer]).counts["held-out"].startswith("318 slices of 40 patients")


@pytest.mark.parametrize("name", ["row.json", "validation.csv"])
def test_a_damaged_row_is_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = write_row(tmp_path / "kumar2021", 1.0, 1.0)
    (folder / name).write_text("{}")
    with pytest.raises(DatasetError, match=rf"{name}: .*remove .* and run the same command again"):
        read_row(folder)
