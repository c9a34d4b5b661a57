"""The page of an evaluation: every figure of the evaluation is on it, and it needs nothing else."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape

from ich_seq.evaluation.data import EvaluationInput, ValidationScores
from ich_seq.evaluation.evaluate import evaluate
from ich_seq.evaluation.published import PUBLISHED, WHY_NOT
from ich_seq.evaluation.result import About, Evaluation
from ich_seq.evaluation.whole import evaluate_whole
from ich_seq.labels import LABELS
from ich_seq.report.evaluation_page import render_evaluation_page
from ich_seq.report.key_slices import draw_key_images


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


ABOUT = About(
    model="tiny <b>",
    model_digest=None,
    dataset="phantom",
    measured_on="Held-out patients <of> the run.",
    external=False,
    training_patients=False,
)


def whole(data: EvaluationInput, **about) -> Evaluation:
    count = len(data.scan_ids)
    frame = pd.DataFrame(
        {
            "series_instance_uid": data.scan_ids,
            "sop_instance_uid": [f"slice-{k}" for k in range(count)],
            "position_mm": 5.0 * np.arange(count),
            "slice_thickness_mm": 5.0,
            "bits_stored": 12,
            "pixel_representation": 0,
            "sex": np.where(np.char.endswith(data.patient_ids, "1"), "F", ""),
        }
    )
    return evaluate_whole(data, frame, ABOUT.model_copy(update=about), rounds=50)


def test_the_page_shows_every_level_with_curves_and_thresholds_and_needs_nothing_else() -> None:
    data = scored()
    evaluation = whole(data)
    page = render_evaluation_page(evaluation, data)
    assert "Evaluation of tiny &lt;b&gt;" in page
    assert "Held-out patients &lt;of&gt; the run." in page
    assert page.count("data:image/png") == 3
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    for title in (*(label.title for label in LABELS), "Slices", "Scans", "Patients", "not a medical device"):
        assert title in page
    assert evaluation.by_slice is not None
    auc = evaluation.by_slice.systems[-1].labels[5].auc
    assert f"{auc.value:.3f} [{auc.low:.3f},\u00a0{auc.high:.3f}]" in page
    point = evaluation.by_scan.operating_points[0]
    assert f"<td>{point.threshold:.3f}</td>" in page
    assert "PPV / NPV at 15%" in page


def test_without_validation_patients_there_are_no_thresholds_on_it() -> None:
    data = dataclasses.replace(scored(), validation=None)
    page = render_evaluation_page(whole(data), data)
    assert "at a threshold" not in page


def test_a_page_must_say_what_was_measured_on_what() -> None:
    data = scored()
    with pytest.raises(ValueError, match="what figures were measured on"):
        render_evaluation_page(evaluate(data, rounds=20), data)


def test_subgroups_and_mistakes_are_on_it_with_pictures_and_no_identifier_but_uids() -> None:
    data = dataclasses.replace(scored(), patient_ids=np.array([f"secret{k % 10}" for k in range(120)]))
    evaluation = whole(data)
    uids = {each.sop_instance_uid for each in evaluation.mistakes}
    (image,) = draw_key_images({0: np.full((64, 80), 40, np.float32)}, (0.5, 0.5))
    page = render_evaluation_page(evaluation, data, dict.fromkeys(uids, image))
    assert page.count("data:image/png") == 3 + len(evaluation.mistakes)
    assert "secret" not in page
    for words in ("slice spacing", "female", "not known", "pixel format", "Subgroups, slices", "Subgroups, scans"):
        assert words in page
    for each in evaluation.mistakes:
        assert f'<span class="uid">{each.series_instance_uid}</span>' in page
    assert "cannot be read any more" in render_evaluation_page(evaluation, data)


def test_published_figures_stand_beside_rsnas_only_each_with_a_sentence() -> None:
    data = scored()
    other, rsna = (render_evaluation_page(whole(data, dataset=name), data) for name in ("phantom", "rsna2019"))
    assert WHY_NOT in other
    assert "Burduja" not in other
    for row in PUBLISHED:
        assert row.work in rsna
        assert str(escape(row.comparable)) in rsna
    assert "0.9843" in rsna
    assert '<th scope="row">here</th>' in rsna


def test_labels_of_scans_and_patients_that_taught_it_are_said() -> None:
    data = dataclasses.replace(scored(), whole_scans=True)
    page = render_evaluation_page(whole(data, training_patients=True, measured_on="NOT HELD OUT: all."), data)
    assert "nothing is counted by slice" in page
    assert "ROC, scans" in page
    assert "<h2>Slices" not in page
    assert "<strong>NOT HELD OUT: all.</strong>" in page
