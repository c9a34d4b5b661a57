import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from ich_seq.evaluation.bootstrap import Estimate
from ich_seq.evaluation.evaluate import (
    STAGE_ONE,
    STAGE_TWO,
    Evaluation,
    EvaluationInput,
    LevelEvaluation,
    SystemScore,
    evaluate,
)
from ich_seq.labels import LABEL_NAMES

# Both sides add the same few hundred float64 terms in another order.
ROUNDING = 1e-12
INTRAPARENCHYMAL, ANY = LABEL_NAMES.index("intraparenchymal"), LABEL_NAMES.index("any")


@pytest.fixture
def evaluation(held_out: EvaluationInput) -> Evaluation:
    return evaluate(held_out, rounds=200, seed=3)


def figures(estimate: Estimate) -> tuple[float, float, float]:
    assert estimate.low is not None
    assert estimate.value is not None
    assert estimate.high is not None
    return estimate.low, estimate.value, estimate.high


def system(level: LevelEvaluation, name: str) -> SystemScore:
    return next(each for each in level.systems if each.system == name)


def test_systems_are_the_floors_in_their_order_then_the_stages(evaluation: Evaluation):
    for level in (evaluation.by_slice, evaluation.by_scan):
        assert [each.system for each in level.systems] == ["prevalence", "histogram", STAGE_ONE, STAGE_TWO]
        assert all(tuple(score.label for score in each.labels) == LABEL_NAMES for each in level.systems)


def test_slice_figures_are_scikit_learns(held_out: EvaluationInput, evaluation: Evaluation):
    for name, probs in {STAGE_ONE: held_out.stage_one, STAGE_TWO: held_out.stage_two}.items():
        scores = system(evaluation.by_slice, name)
        losses = [log_loss(held_out.labels[:, k], probs[:, k], labels=[0, 1]) for k in range(6)]
        assert [score.log_loss.value for score in scores.labels] == pytest.approx(losses, abs=ROUNDING)
        assert scores.weighted_log_loss.value == pytest.approx((sum(losses) + losses[ANY]) / 7, abs=ROUNDING)
        expected = roc_auc_score(held_out.labels[:, ANY], probs[:, ANY])
        assert scores.labels[ANY].auc.value == pytest.approx(expected, abs=ROUNDING)


def test_scan_figures_are_those_of_the_maximum_over_each_scans_slices(
    held_out: EvaluationInput, evaluation: Evaluation
):
    slices_of = [held_out.scan_ids == name for name in np.unique(held_out.scan_ids)]
    truth = [held_out.labels[slices, INTRAPARENCHYMAL].max() for slices in slices_of]
    prob = [held_out.stage_two[slices, INTRAPARENCHYMAL].max() for slices in slices_of]
    score = system(evaluation.by_scan, STAGE_TWO).labels[INTRAPARENCHYMAL]
    assert evaluation.by_scan.count == 27
    assert score.auc.value == pytest.approx(roc_auc_score(truth, prob), abs=ROUNDING)


def test_gain_is_the_difference_of_the_stages_and_its_interval_is_narrower_than_unpaired(
    evaluation: Evaluation,
):
    one, two = (figures(system(evaluation.by_slice, name).labels[ANY].auc) for name in (STAGE_ONE, STAGE_TWO))
    low, gain, high = figures(evaluation.by_slice.gains[ANY].auc)
    assert gain == pytest.approx(two[1] - one[1])
    assert low > 0
    assert high - low < (one[2] - one[0]) + (two[2] - two[0])


def test_a_fall_in_log_loss_is_a_positive_gain(evaluation: Evaluation):
    one, two = (figures(system(evaluation.by_slice, name).weighted_log_loss)[1] for name in (STAGE_ONE, STAGE_TWO))
    assert two < one
    assert evaluation.by_slice.weighted_log_loss_gain.value == pytest.approx(one - two)


def test_every_interval_holds_its_own_figure(evaluation: Evaluation):
    for level in (evaluation.by_slice, evaluation.by_scan):
        estimates = [score.log_loss for each in level.systems for score in each.labels]
        estimates += [each.weighted_log_loss for each in level.systems]
        for low, value, high in map(figures, estimates):
            assert low <= value <= high


def test_one_class_labels_are_null_and_say_why(evaluation: Evaluation):
    epidural, subdural = LABEL_NAMES.index("epidural"), LABEL_NAMES.index("subdural")
    for level in (evaluation.by_slice, evaluation.by_scan):
        for each in (*(score.labels for score in level.systems), level.gains):
            assert each[epidural].auc.value is None
            assert each[epidural].auc.reason == f"no {level.level} is positive"
            assert each[subdural].auc.reason == f"every {level.level} is positive"


def test_a_label_of_one_patient_has_a_figure_without_an_interval(evaluation: Evaluation):
    score = system(evaluation.by_slice, STAGE_TWO).labels[LABEL_NAMES.index("intraventricular")]
    assert score.auc.value is not None
    assert score.auc.low is None
    assert str(score.auc.reason).startswith("no interval")


def test_counts_are_of_slices_scans_and_patients(held_out: EvaluationInput, evaluation: Evaluation):
    count = evaluation.by_slice.counts[LABEL_NAMES.index("intraventricular")]
    assert count.positives == held_out.labels[:, 2].sum()
    assert count.positive_patients == 1
    assert evaluation.by_scan.counts[LABEL_NAMES.index("subdural")].positives == 27
    assert evaluation.patients == 25


def test_json_has_null_for_what_is_undefined_and_reads_back(evaluation: Evaluation):
    text = evaluation.model_dump_json()
    assert "NaN" not in text
    assert json.loads(text)["by_slice"]["gains"][0]["auc"]["value"] is None
    assert Evaluation.model_validate_json(text) == evaluation


def test_the_order_of_the_slices_does_not_matter(held_out: EvaluationInput, evaluation: Evaluation):
    back = np.argsort(held_out.scan_ids)
    values = {field.name: getattr(held_out, field.name) for field in dataclasses.fields(held_out)}
    values["floors"] = {name: probs[back] for name, probs in held_out.floors.items()}
    sorted_slices = {name: value[back] for name, value in values.items() if name not in ("floors", "validation")}
    again = evaluate(EvaluationInput(**sorted_slices, floors=values["floors"]), rounds=200, seed=3)
    first, second = evaluation.by_slice.gains[ANY].auc, again.by_slice.gains[ANY].auc
    assert (second.low, second.high) == pytest.approx((first.low, first.high), abs=ROUNDING)
    assert again.by_scan == evaluation.by_scan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: ("scan_ids", data.scan_ids[:-1]), "scan_ids has 323 rows for 324 slices"),
        (lambda data: ("scan_ids", np.full(324, "one")), "slices of two patients"),
        (lambda data: ("floors", {STAGE_ONE: data.stage_one}), "must not be called 'stage one'"),
        (lambda data: ("labels", data.labels * 2), "0 and 1"),
        (lambda data: ("stage_two", data.stage_two + 1), r"\[0, 1\]"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(held_out: EvaluationInput, change, message: str):
    object.__setattr__(held_out, *change(held_out))  # past the shape checks of the constructor
    with pytest.raises(ValueError, match=message):
        evaluate(held_out, rounds=10)
