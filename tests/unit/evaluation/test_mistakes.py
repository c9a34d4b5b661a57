"""The worst mistakes, by hand."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from ich_seq.evaluation.data import EvaluationInput
from ich_seq.evaluation.mistakes import worst_mistakes
from ich_seq.labels import LABEL_NAMES
from ich_seq.thresholds import Threshold, Thresholds

ANY = LABEL_NAMES.index("any")


@pytest.fixture
def scans() -> tuple[EvaluationInput, pd.DataFrame]:
    """Four scans of three slices, given head first: a and b without a bleed, c and d with one on their middle slice only."""
    names = np.repeat(["a", "b", "c", "d"], 3)
    score = np.array([[0.1, 0.2, 0.9], [0.1, 0.6, 0.1], [0.8, 0.3, 0.1], [0.1, 0.2, 0.05]]).ravel()
    truth = np.array([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0])
    labels, two = np.zeros((12, 6), int), np.full((12, 6), 0.01)
    labels[:, ANY] = labels[:, 3] = truth
    two[:, ANY] = score
    frame = pd.DataFrame(
        {"sop_instance_uid": [f"{n}{k % 3}" for k, n in enumerate(names)], "position_mm": [15.0, 10, 5] * 4}
    )
    return EvaluationInput(names, names, labels, two / 2, two), frame


def test_without_a_threshold_scans_are_ranked_by_how_wrong_they_are(scans) -> None:
    found = [each for each in worst_mistakes(*scans) if each.label == "any"]
    assert [(each.kind, each.series_instance_uid, each.scan_score) for each in found] == [
        ("false alarm", "a", 0.9),
        ("false alarm", "b", 0.6),
        ("miss", "d", 0.2),
        ("miss", "c", 0.8),
    ]
    first, miss = found[0], found[3]
    assert (first.sop_instance_uid, first.slice_number, first.slices, first.position_mm) == ("a2", 1, 3, 0.0)
    assert first.truth == ()
    # c scores highest where nothing bleeds; its key slice is the one that does.
    assert (miss.sop_instance_uid, miss.slice_number, miss.slice_stage_two, miss.slice_stage_one) == (
        "c1",
        2,
        0.3,
        0.15,
    )
    assert miss.truth == ("subarachnoid", "any")
    assert first.threshold is None


def test_with_a_threshold_only_those_on_its_wrong_side_are_shown(scans) -> None:
    data, frame = scans
    point = Threshold(level="scan", label="any", rule="balanced", score=0.7, positives=1, negatives=1)
    data = dataclasses.replace(data, thresholds=Thresholds(patients=1, points=(point,)))
    found = [each for each in worst_mistakes(data, frame) if each.label == "any"]
    assert [(each.kind, each.series_instance_uid, each.threshold) for each in found] == [
        ("false alarm", "a", 0.7),
        ("miss", "d", 0.7),
    ]


def test_at_most_so_many_of_any_and_one_of_each_subtype(scans) -> None:
    found = list(worst_mistakes(*scans, most=1))
    counted = {(each.label, each.kind): 0 for each in found}
    for each in found:
        counted[each.label, each.kind] += 1
    assert set(counted.values()) == {1}
    assert ("subarachnoid", "miss") in counted
    assert ("epidural", "miss") not in counted


def test_with_labels_of_whole_scans_the_key_slice_is_the_one_that_scores_highest(scans) -> None:
    data, frame = scans
    found = list(worst_mistakes(dataclasses.replace(data, whole_scans=True), frame))
    (miss,) = [each for each in found if (each.label, each.series_instance_uid, each.kind) == ("any", "c", "miss")]
    assert miss.sop_instance_uid == "c0"
