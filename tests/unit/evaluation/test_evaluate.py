import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from ich_seq.calibration import Calibration
from ich_seq.evaluation.bootstrap import Estimate
from ich_seq.evaluation.data import CALIBRATED, STAGE_ONE, STAGE_TWO, EvaluationInput
from ich_seq.evaluation.evaluate import evaluate
from ich_seq.evaluation.result import Evaluation, LevelEvaluation, SystemScore
from ich_seq.labels import LABEL_NAMES
from ich_seq.thresholds import Threshold, Thresholds

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
    again = evaluate(held_out.where(back), rounds=200, seed=3)
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


def calibrated(held_out: EvaluationInput) -> EvaluationInput:
    half = {"method": "temperature", "factor": 0.5}
    fields = {
        "method": "temperature",
        "patients": 1,
        "scans": 1,
        "slices": 1,
        "of_slices": [half] * 6,
        "of_scans": [half] * 6,
    }
    return dataclasses.replace(held_out, calibration=Calibration.model_validate(fields))


def test_a_calibrated_model_adds_a_system_with_the_same_order_and_other_losses(held_out: EvaluationInput):
    with_it = evaluate(calibrated(held_out), rounds=50, seed=3)
    for level in (with_it.by_slice, with_it.by_scan, with_it.by_patient):
        assert level is not None
        assert [each.system for each in level.systems][-2:] == [STAGE_TWO, CALIBRATED]
        two, third = (system(level, name).labels[ANY] for name in (STAGE_TWO, CALIBRATED))
        assert third.auc == two.auc
        assert third.brier != two.brier
    odds = held_out.stage_two[:, ANY] / (1 - held_out.stage_two[:, ANY])
    expected = log_loss(held_out.labels[:, ANY], np.sqrt(odds) / (1 + np.sqrt(odds)))
    assert with_it.by_slice is not None
    assert system(with_it.by_slice, CALIBRATED).labels[ANY].log_loss.value == pytest.approx(expected, abs=ROUNDING)


def test_labels_of_whole_scans_are_not_counted_by_slice(held_out: EvaluationInput):
    found = evaluate(dataclasses.replace(held_out, whole_scans=True), rounds=50, seed=3)
    assert found.by_slice is None
    assert found.by_scan == evaluate(held_out, rounds=50, seed=3).by_scan


def test_a_models_own_thresholds_serve_where_there_are_no_validation_patients(held_out: EvaluationInput):
    points = [
        Threshold(level=level, label="any", rule="balanced", score=score, positives=1, negatives=1)
        for level, score in (("slice", 0.5), ("scan", 0.75))
    ]
    data = dataclasses.replace(held_out, thresholds=Thresholds(patients=1, points=tuple(points)))
    found = evaluate(data, rounds=50, seed=3)
    levels = (found.by_slice, found.by_scan, found.by_patient)
    used = [[(each.system, each.label, each.threshold) for each in level.operating_points] for level in levels if level]
    assert used == [[(STAGE_TWO, "any", 0.5)], [(STAGE_TWO, "any", 0.75)], [(STAGE_TWO, "any", 0.75)]]
