"""The page of an evaluation: every figure of the evaluation is on it, and it needs nothing else."""

import dataclasses
import re

import numpy as np

from ich_seq.evaluation.evaluate import EvaluationInput, ValidationScores, evaluate
from ich_seq.labels import LABELS
from ich_seq.report.evaluation_page import render_evaluation_page


def scored(slices: int = 120) -> EvaluationInput:
    """10 patients; no slice is epidural."""
    rng = np.random.default_rng(2)
    labels = (rng.random((slices, 6)) < 0.3).astype(np.int64)
    labels[:, 0] = 0
    ids = np.array([f"p{k % 10}" for k in range(slices)])

    def system() -> np.ndarray:
        return np.clip(0.5 * labels + 0.5 * rng.random(labels.shape), 0, 1)

    one, two = system(), system()
    validation = ValidationScores(patient_ids=ids, scan_ids=ids, labels=labels, stage_one=one, stage_two=two)
    return EvaluationInput(ids, ids, labels, one, two, {"prevalence": np.full(labels.shape, 0.3)}, validation)


def test_the_page_shows_every_level_with_curves_and_thresholds_and_needs_nothing_else() -> None:
    data = scored()
    evaluation = evaluate(data, rounds=50)
    page = render_evaluation_page(evaluation, data, "tiny <b>")
    assert "Evaluation of tiny &lt;b&gt;" in page
    assert page.count("data:image/png") == 3
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    for title in (*(label.title for label in LABELS), "Slices", "Scans", "Patients", "not a medical device"):
        assert title in page
    auc = evaluation.by_slice.systems[-1].labels[5].auc
    assert f"{auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}]" in page
    point = evaluation.by_scan.operating_points[0]
    assert f"<td>{point.threshold:.3f}</td>" in page
    assert "PPV / NPV at 15%" in page


def test_without_validation_patients_there_are_no_thresholds_on_it() -> None:
    data = dataclasses.replace(scored(), validation=None)
    page = render_evaluation_page(evaluate(data, rounds=20), data, "tiny")
    assert "at a threshold" not in page
