"""Groups of scans by hand, and figures that are those of the group alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ich_seq.evaluation.data import EvaluationInput
from ich_seq.evaluation.subgroups import LEAST_PATIENTS, attributes_of, score_subgroups
from ich_seq.labels import ANY_INDEX
from ich_seq.metrics import weighted_log_loss


def scan(uid: str, slices: int = 3, step_mm: float = 5.0, **columns) -> pd.DataFrame:
    fields = {"slice_thickness_mm": np.nan, "bits_stored": 12, "pixel_representation": 0, "tilt_deg": 0.0}
    fields |= {"age_group": "", "sex": "", "manufacturer": ""} | columns
    return pd.DataFrame({"series_instance_uid": uid, "position_mm": np.arange(slices) * step_mm, **fields})


@pytest.mark.parametrize(
    ("changes", "attribute", "group"),
    [
        ({"step_mm": 2.4}, "slice spacing", "thin, below 2.5 mm"),
        ({"step_mm": 2.5}, "slice spacing", "2.5 to 4 mm"),
        ({"step_mm": 4.0}, "slice spacing", "2.5 to 4 mm"),
        ({"step_mm": 4.1}, "slice spacing", "thick, above 4 mm"),
        ({"step_mm": 1.0, "slice_thickness_mm": 5.0}, "slice spacing", "thick, above 4 mm"),
        ({"slices": 1}, "slice spacing", "not known"),
        ({"tilt_deg": 0.4}, "tilt of the slices", "none, below 0.5 degrees"),
        ({"tilt_deg": 9.9}, "tilt of the slices", "below 10 degrees"),
        ({"tilt_deg": 10.0}, "tilt of the slices", "10 degrees or more"),
        ({"pixel_representation": 1, "bits_stored": 16}, "pixel format", "16 bits, signed"),
        ({"bits_stored": 0}, "pixel format", "NIfTI"),
        ({"slices": 29}, "slices in the scan", "fewer than 30"),
        ({"slices": 30}, "slices in the scan", "30 to 45"),
        ({"slices": 46}, "slices in the scan", "more than 45"),
        ({"age_group": "60 to 69"}, "age in years", "60 to 69"),
        ({"sex": "F"}, "sex", "female"),
        ({"manufacturer": "GE"}, "maker of the scanner", "GE"),
    ],
)
def test_a_scan_is_in_the_group_that_its_header_says(changes: dict, attribute: str, group: str) -> None:
    known = scan("known", age_group="0 to 9", sex="M", manufacturer="X")
    assert attributes_of(pd.concat([scan("a", **changes), known]))[attribute]["a"] == group


def test_what_no_scan_says_is_left_out_and_tables_of_earlier_versions_do() -> None:
    old = scan("a").drop(columns=["tilt_deg", "age_group", "sex", "manufacturer"])
    assert list(attributes_of(old)) == ["slice spacing", "pixel format", "slices in the scan"]


@pytest.fixture
def cohort() -> EvaluationInput:
    """60 patients of one scan of 4 slices; every second patient has a bleed on two slices."""
    rng = np.random.default_rng(4)
    patient = np.repeat(np.arange(60), 4)
    labels = np.zeros((240, 6), int)
    labels[(patient % 2 == 1) & (np.arange(240) % 4 < 2)] = 1
    one, two = (np.clip(0.5 * labels + rng.random((240, 6)) * 0.5, 0, 1) for _ in range(2))
    names = np.array([f"p{p:02d}" for p in patient])
    return EvaluationInput(names, names, labels, one, two)


def test_figures_are_those_of_the_group_alone_and_too_few_have_counts_only(cohort: EvaluationInput) -> None:
    """Groups of 19 and 41 patients: the first has 9 with a bleed, one too few."""
    groups = {f"p{p:02d}": "few" if p < 19 else "many" for p in range(60)}
    found = {(each.group, each.level): each for each in score_subgroups(cohort, {"kind": groups}, rounds=50)}
    assert set(found) == {(group, level) for group in ("few", "many") for level in ("slice", "scan")}
    few, many = found["few", "slice"], found["many", "slice"]
    assert (few.count, few.patients, few.positive_patients, few.positives) == (76, 19, 9, 18)
    assert few.auc_stage_two.value is None
    assert str(LEAST_PATIENTS) in str(few.auc_stage_two.reason)
    rows = np.array([groups[name] == "many" for name in cohort.patient_ids])
    truth = cohort.labels[rows]
    expected = roc_auc_score(truth[:, ANY_INDEX], cohort.stage_two[rows, ANY_INDEX])
    assert many.auc_stage_two.value == pytest.approx(expected, abs=1e-12)  # the same ranks summed in another order
    loss = weighted_log_loss(truth, cohort.stage_one[rows])
    assert many.weighted_log_loss_stage_one.value == pytest.approx(loss, abs=1e-12)
    assert many.auc_stage_two.low is not None
    assert found["many", "scan"].count == 41


def test_labels_of_whole_scans_have_no_groups_of_slices(cohort: EvaluationInput) -> None:
    object.__setattr__(cohort, "whole_scans", True)
    groups = dict.fromkeys(set(cohort.scan_ids.tolist()), "all")
    assert [each.level for each in score_subgroups(cohort, {"kind": groups}, rounds=20)] == ["scan"]
