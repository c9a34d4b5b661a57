"""The evaluation's section of the model card: every figure with what it was measured on."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ich_seq.evaluation.card import card_section
from ich_seq.evaluation.data import EvaluationInput
from ich_seq.evaluation.evaluate import evaluate
from ich_seq.evaluation.result import About, Evaluation
from ich_seq.evaluation.whole import evaluate_whole
from ich_seq.thresholds import Threshold, Thresholds

ABOUT = About(
    model="tiny",
    model_digest="1" * 64,
    dataset="phantom",
    measured_on="Held-out patients of the run.",
    external=False,
    training_patients=False,
)


def whole(data: EvaluationInput, about: About = ABOUT) -> Evaluation:
    count = len(data.scan_ids)
    frame = pd.DataFrame(
        {
            "series_instance_uid": data.scan_ids,
            "sop_instance_uid": [f"1.2.{k}" for k in range(count)],
            "position_mm": 5.0 * np.arange(count),
            "slice_thickness_mm": 5.0,
            "bits_stored": 12,
            "pixel_representation": 0,
        }
    )
    return evaluate_whole(data, frame, about, rounds=50)


def test_the_section_has_figures_with_intervals_and_what_they_are_of(held_out: EvaluationInput) -> None:
    point = Threshold(level="scan", label="any", rule="balanced", score=0.5, positives=1, negatives=1)
    evaluation = whole(dataclasses.replace(held_out, thresholds=Thresholds(patients=1, points=(point,))))
    text = card_section(evaluation)
    assert text.startswith("## Evaluation on held-out patients: phantom")
    assert "Held-out patients of the run. 25 patients, 324 slices, 27 scans" in text
    assert evaluation.by_slice is not None
    auc = evaluation.by_slice.systems[-1].labels[5].auc
    assert f"{auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}]" in text
    assert "– (no slice is positive)" in text
    used = evaluation.by_scan.operating_points[0]
    assert f"| Any haemorrhage | balanced | 0.500 | {used.sensitivity.value:.3f}" in text
    assert "No subgroup has enough patients for a figure." in text  # all have any on some slice
    assert "weighted log loss by scan, stage two:" in text


def test_a_section_on_another_table_and_on_training_patients_says_so(held_out: EvaluationInput) -> None:
    external = whole(held_out, ABOUT.model_copy(update={"external": True, "dataset": "cq500"}))
    assert card_section(external).startswith("## Evaluation on another table: cq500")
    taught = whole(held_out, ABOUT.model_copy(update={"training_patients": True}))
    assert card_section(taught).startswith("## Evaluation on patients that taught the model, or may have")
    with pytest.raises(ValueError, match="what figures were measured on"):
        card_section(evaluate(held_out, rounds=20))


def test_an_evaluation_with_all_its_parts_reads_back_from_json(held_out: EvaluationInput) -> None:
    evaluation = whole(held_out)
    assert evaluation.subgroups
    assert evaluation.mistakes
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation
