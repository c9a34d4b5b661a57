"""From probabilities to a result: exact numbers, highest slices, and no result from what is no number."""

import json

import numpy as np
import pytest
from dicom_factory import make_series, make_slice, write
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import TRAINED_ON

from ich_seq.calibration import Calibration, Temperature, Uncalibrated
from ich_seq.config import CnnConfig, LstmConfig, PreprocessConfig
from ich_seq.dicom import read_study_files
from ich_seq.errors import ModelError
from ich_seq.model.bundle import BundleInfo
from ich_seq.study.assemble import ModelUse, ScanProbabilities, assemble, shortest_float
from ich_seq.thresholds import Threshold, Thresholds
from ich_seq.volume import Volume

INFO = BundleInfo(
    name="none",
    ichseq_version="0",
    preprocess=PreprocessConfig.model_validate({"size": 32}),
    cnn=CnnConfig(),
    lstm=LstmConfig(),
    embedding_width=4,
    reduced_width=2,
    trained_on=TRAINED_ON,
    validation_loss={},
    weights_sha256="0" * 64,
)


@pytest.fixture
def volume(tmp_path):
    (study,) = read_study_files(make_series(tmp_path, slices=6)).studies
    assert study.chosen is not None
    return Volume(study.chosen)


def result_of(volume, one, two):
    return assemble(volume, ScanProbabilities(one, two), ModelUse(INFO, "cpu"), [], [], {"stage_one": 0.5})


@given(st.floats(min_value=0, max_value=1, width=32))
def test_floats_in_json_become_the_same_float32_again(value):
    assert np.float32(json.loads(json.dumps(shortest_float(np.float32(value))))) == np.float32(value)


def test_a_float32_is_written_in_its_fewest_decimals():
    assert shortest_float(np.float32(0.1)) == 0.1  # float64(float32(0.1)) is 0.10000000149011612


def test_a_scan_scores_its_highest_slice_for_each_stage(volume):
    one, two = np.full((6, 6), 0.1, np.float32), np.full((6, 6), 0.2, np.float32)
    one[4, 5], two[2, 5], two[5, 0] = 0.7, 0.9, 0.3
    result = result_of(volume, one, two)
    peak = result.label("any")
    assert (peak.stage_one.probability, peak.stage_one.slice_index) == (0.7, 4)
    assert (peak.stage_two.probability, peak.stage_two.slice_index) == (0.9, 2)
    # Slices of the factory lie 5 mm apart.
    assert peak.stage_two.position_mm == pytest.approx(10.0, abs=1e-4)  # positions are rounded to 0.1 um
    assert peak.stage_two.sop_instance_uid == volume.sop_instance_uids[2]
    assert result.label("epidural").stage_two.slice_index == 5


def test_the_lowest_of_equal_slices_is_named(volume):
    flat = np.full((6, 6), 0.5, np.float32)
    assert {score.stage_two.slice_index for score in result_of(volume, flat, flat).scan} == {0}


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.1, 1.5])
def test_what_is_no_probability_is_an_error_never_a_result(volume, wrong):
    good, bad = np.full((6, 6), 0.5, np.float32), np.full((6, 6), 0.5, np.float32)
    bad[3, 2] = wrong
    with pytest.raises(ModelError, match="slice 4"):
        result_of(volume, good, bad)
    with pytest.raises(ModelError, match="slice 4"):
        result_of(volume, bad, good)


def test_no_text_of_the_header_but_uids_is_in_a_result(tmp_path):
    def mark(dataset, index):
        for keyword in ("PatientName", "PatientID", "SeriesDescription", "AccessionNumber", "InstitutionName"):
            setattr(dataset, keyword, "MARKER")

    (study,) = read_study_files(make_series(tmp_path, edit=mark)).studies
    assert study.chosen is not None
    flat = np.full((6, 6), 0.5, np.float32)
    probabilities = ScanProbabilities(flat, flat)
    result = assemble(Volume(study.chosen), probabilities, ModelUse(INFO, "cpu"), study.candidates, [], {})
    assert "MARKER" not in result.model_dump_json()


def with_calibration_and_threshold() -> BundleInfo:
    """Slices keep half of their logit, scans a third; `any` has a threshold of .75 for scans; epidural has neither."""
    none = Uncalibrated(reason="no validation scan is positive")
    of_slices, of_scans = ((none, *(Temperature(factor=f) for _ in range(5))) for f in (0.5, 1 / 3))
    calibration = Calibration(
        method="temperature", patients=1, scans=1, slices=1, of_slices=of_slices, of_scans=of_scans
    )
    point = Threshold(level="scan", label="any", rule="balanced", score=0.75, positives=1, negatives=1)
    return INFO.model_copy(update={"calibration": calibration, "thresholds": Thresholds(patients=1, points=(point,))})


@pytest.mark.parametrize(
    ("score", "reading"), [(0.75, "at or above the balanced threshold"), (0.74, "below the balanced threshold")]
)
def test_a_calibrated_model_with_thresholds_says_both_beside_the_raw_score(volume, score, reading):
    """.9 is odds of 9: half the logit gives 3 to 1 on its slice, .75; .75 is 3 to 1, a third of that logit the cube root of 3."""
    two = np.full((6, 6), 0.5, np.float32)
    two[2, 1], two[3, 5] = 0.9, score
    info = with_calibration_and_threshold()
    result = assemble(volume, ScanProbabilities(two / 2, two), ModelUse(info, "cpu"), [], [], {})
    assert result.slices[2].stage_two.intraparenchymal == pytest.approx(0.9)
    assert result.slices[2].calibrated.intraparenchymal == pytest.approx(0.75, abs=1e-6)  # float32 score
    assert result.slices[2].calibrated.epidural is None
    assert result.label("epidural").calibrated is None
    assert result.label("intraparenchymal").calibrated == pytest.approx(9 ** (1 / 3) / (1 + 9 ** (1 / 3)), abs=1e-6)
    assert result.label("any").reading == reading
    assert result.label("any").balanced_threshold == 0.75
    assert result.label("subdural").reading == "not thresholded"
    assert result.model.calibrated
    assert result.model.thresholded


def test_an_incomplete_series_stays_indeterminate_whatever_the_threshold(tmp_path):
    paths = make_series(tmp_path, slices=8)
    paths[4].unlink()
    (study,) = read_study_files([path for path in paths if path.exists()]).studies
    assert study.chosen is not None
    volume = Volume(study.chosen)
    two = np.full((7, 6), 0.99, np.float32)
    result = assemble(
        volume, ScanProbabilities(two, two), ModelUse(with_calibration_and_threshold(), "cpu"), [], [], {}
    )
    assert {score.reading for score in result.scan} == {"indeterminate"}


@pytest.mark.parametrize(("third", "code"), [("MIP", "D-DERIVED"), ("LOCALIZER", "D-LOCALIZER")])
def test_an_image_that_was_never_a_slice_leaves_the_series_whole(tmp_path, third, code):
    paths = make_series(tmp_path, slices=12, spacing_mm=10.0)
    page = make_slice(3)
    page.SOPInstanceUID, page.ImageType = "1.2.3.4", ["DERIVED", "SECONDARY", third]
    write(page, tmp_path / "page")
    inventory = read_study_files([*paths, tmp_path / "page"])
    (study,) = inventory.studies
    assert study.chosen is not None
    flat = np.full((12, 6), 0.5, np.float32)
    scan = ScanProbabilities(flat, flat)
    result = assemble(Volume(study.chosen), scan, ModelUse(INFO, "cpu"), study.candidates, inventory.dropped, {})
    assert result.status == "complete"
    assert [item.code for item in result.dropped] == [code]


def test_without_calibration_the_new_fields_are_null(volume):
    flat = np.full((6, 6), 0.5, np.float32)
    result = result_of(volume, flat, flat)
    assert {score.calibrated for score in result.scan} | {score.balanced_threshold for score in result.scan} == {None}
    assert {score.calibrated for score in result.slices} == {None}
