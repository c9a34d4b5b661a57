import dataclasses
import re

import pytest

from ich_seq.calibration import Calibration
from ich_seq.evaluation.bootstrap import Estimate
from ich_seq.evaluation.data import EvaluationInput
from ich_seq.evaluation.evaluate import evaluate
from ich_seq.evaluation.result import About, Evaluation
from ich_seq.evaluation.table import markdown_table, text_table


def figures(estimate: Estimate) -> tuple[float, float, float]:
    assert estimate.low is not None
    assert estimate.value is not None
    assert estimate.high is not None
    return estimate.low, estimate.value, estimate.high


@pytest.fixture
def evaluation(held_out: EvaluationInput) -> Evaluation:
    return evaluate(held_out, rounds=200, seed=3)


def test_text_table_shows_every_label_at_both_levels_with_floors_stages_and_gain(evaluation: Evaluation):
    text = text_table(evaluation)
    assert "AUC per slice: 324 slices of 25 held-out patients" in text
    assert "AUC per scan: 27 scans of 25 held-out patients" in text
    for title in (
        "Epidural",
        "Intraparenchymal",
        "Intraventricular",
        "Subarachnoid",
        "Subdural",
        "Any",
        "Weighted loss",
    ):
        assert len(re.findall(f"^{title}", text, re.MULTILINE)) == 2
    head = text.splitlines()[1]
    assert re.split(r"\s{2,}", head.strip()) == [
        "pos.",
        "prevalence",
        "histogram",
        "stage one",
        "stage two",
        "gain",
    ]


def test_figures_in_the_table_are_those_of_the_evaluation(evaluation: Evaluation):
    gain = evaluation.by_slice.gains[5].auc
    row = next(line for line in text_table(evaluation).splitlines() if line.startswith("Any haemorrhage"))
    low, value, high = (f"{figure:.3f}".removeprefix("0") for figure in figures(gain))
    assert f"+{value} [+{low}, +{high}] +" in row
    assert ".500" in row  # prevalence: every pair is tied


def test_undefined_figures_are_a_dash_and_never_a_number(evaluation: Evaluation):
    row = next(line for line in text_table(evaluation).splitlines() if line.startswith("Epidural"))
    assert re.split(r"\s{2,}", row.strip()) == ["Epidural", "0", "–", "–", "–", "–", "–"]


def test_lines_of_the_text_fit_120_columns_with_all_three_floors(held_out: EvaluationInput):
    floors = {"prevalence": held_out.stage_one, "position": held_out.stage_one, "histogram": held_out.stage_one}
    evaluation = evaluate(dataclasses.replace(held_out, floors=floors), rounds=50)
    assert max(map(len, text_table(evaluation).splitlines())) <= 120


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.1, 0.3, "+.200 [+.100, +.300] +"),
        (-0.1, 0.5, "+.200 [-.100, +.500]"),
        (None, None, "+.200"),
        (-10.5, -10.0, "+.200 [-10.500, -10.000] -"),
    ],
)
def test_a_gain_is_marked_only_where_its_interval_excludes_zero(
    evaluation: Evaluation, low: float | None, high: float | None, shown: str
):
    level = evaluation.by_scan.model_copy(update={"weighted_log_loss_gain": Estimate(value=0.2, low=low, high=high)})
    text = text_table(evaluation.model_copy(update={"by_scan": level}))
    row = [line for line in text.splitlines() if line.startswith("Weighted loss")][1]
    assert row.endswith("  " + shown)


def test_markdown_rows_have_as_many_cells_as_their_header(evaluation: Evaluation):
    tables = markdown_table(evaluation).split("\n\n")
    for table in (tables[1], tables[3]):
        cells = {line.count("|") for line in table.splitlines()}
        assert cells == {8}
        assert len(table.splitlines()) == 2 + 7


def test_calibration_has_a_row_of_losses_and_no_column(held_out: EvaluationInput):
    half = {"method": "temperature", "factor": 0.5}
    fields = {"patients": 1, "scans": 1, "slices": 1, "of_slices": [half] * 6, "of_scans": [half] * 6}
    calibration = Calibration.model_validate({"method": "temperature", **fields})
    evaluation = evaluate(dataclasses.replace(held_out, calibration=calibration), rounds=50)
    text = text_table(evaluation)
    assert text.count("\n  calibrated  ") == 2
    assert all(len(line) <= 120 for line in text.splitlines())
    assert "stage two, calibrated" not in text
    assert markdown_table(evaluation).count("|   calibrated |") == 2


def test_figures_of_training_patients_and_of_other_tables_are_called_so(held_out: EvaluationInput):
    sentence = "NOT HELD OUT: 1 of 3 patients taught the model."
    about = About(
        model="m", model_digest=None, dataset="own", measured_on=sentence, external=True, training_patients=True
    )
    evaluation = evaluate(dataclasses.replace(held_out, whole_scans=True), rounds=20).model_copy(
        update={"about": about}
    )
    for text in (text_table(evaluation), markdown_table(evaluation)):
        assert text.startswith(sentence)
        assert "27 scans of 25 patients" in text
        assert "held-out" not in text
        assert "AUC per slice" not in text
