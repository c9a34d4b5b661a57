import numpy as np
import pytest

from ich_seq.errors import DatasetError
from ich_seq.evaluation import floors
from ich_seq.metrics import roc_auc, weighted_log_loss


def cohort(seed: int, patients: int = 40, name: str = "p") -> floors.FloorData:
    """Slices that are positive for every label mostly in the middle of the scan, and denser when positive."""
    rng = np.random.default_rng(seed)
    position = np.tile(np.linspace(0, 1, 20), patients)
    truth = rng.random(len(position)) < 0.6 * np.exp(-(((position - 0.5) / 0.15) ** 2))
    histogram = np.stack([floors.hu_histogram(rng.normal(30 + 8 * t, 15, (16, 16)).astype(np.float32)) for t in truth])
    labels = np.repeat(truth[:, None], 6, axis=1).astype(np.uint8)
    return floors.FloorData(np.repeat([f"{name}{i}" for i in range(patients)], 20), position, histogram, labels)


def test_prevalence_is_the_rule_of_succession():
    labels = np.zeros((8, 6), np.uint8)
    labels[:4, 5] = 1
    expected = [0.1, 0.1, 0.1, 0.1, 0.1, 0.5]
    np.testing.assert_allclose(floors.prevalence_floor(labels, 2), [expected, expected])


def test_the_position_floor_finds_where_bleeds_lie_and_is_smooth():
    train = cohort(1)
    position = np.linspace(0, 1, 101)
    any_prob = floors.position_floor(train.relative_position, train.labels, position)[:, 5]
    # Behind the labels: 0.6 in the middle, 0.6 exp(-11) at the ends; 800 slices: standard error 0.05.
    assert any_prob[50] == pytest.approx(0.6, abs=0.1)
    assert any_prob[[0, -1]].max() < 0.05
    assert np.abs(np.diff(any_prob)).max() < 0.05


def test_the_position_floor_ranks_held_out_slices_as_the_best_possible_curve_does():
    train, held_out = cohort(2), cohort(3, name="q")
    probs = floors.position_floor(train.relative_position, train.labels, held_out.relative_position)
    truth = held_out.labels[:, 5]
    best = roc_auc(truth, -np.abs(held_out.relative_position - 0.5))
    assert roc_auc(truth, probs[:, 5]) == pytest.approx(best, abs=0.02)


def test_every_floor_beats_the_one_before_on_a_cohort_that_tells_more_each_time():
    train, held_out = cohort(4), cohort(5, name="q")
    loss = {
        name: weighted_log_loss(held_out.labels, probs) for name, probs in floors.fit_floors(train, held_out).items()
    }
    assert list(loss) == [floors.PREVALENCE, floors.POSITION, floors.HISTOGRAM]
    assert loss[floors.HISTOGRAM] < loss[floors.POSITION] < loss[floors.PREVALENCE]


def test_floors_are_the_same_for_the_same_seed():
    train, held_out = cohort(6, patients=10), cohort(7, patients=5, name="q")
    first, second = floors.fit_floors(train, held_out, seed=1), floors.fit_floors(train, held_out, seed=1)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_a_patient_on_both_sides_is_refused_by_name():
    with pytest.raises(DatasetError, match="5 patients are in training and held out, p0"):
        floors.fit_floors(cohort(1, patients=10), cohort(1, patients=5))


@pytest.mark.parametrize("value", [0, 1])
def test_a_label_of_one_class_in_training_gets_its_prevalence(value: int):
    train = cohort(8, patients=3)
    train.labels[:, 2] = value
    expected = (60 * value + 1) / 62
    for probs in floors.fit_floors(train, cohort(9, patients=2, name="q")).values():
        np.testing.assert_allclose(probs[:, 2], expected)


def test_histogram_counts_each_pixel_once_in_the_bin_that_holds_its_lower_edge():
    hu = np.array([[-1024, -1000], [0, 3.9], [4, 4000]], np.float32)
    edges, share = floors.HISTOGRAM_EDGES_HU, floors.hu_histogram(hu)
    filled = {float(edges[i]): round(float(share[i]) * 6) for i in np.flatnonzero(share)}
    assert filled == {-np.inf: 1, -1000.0: 1, 0.0: 2, 4.0: 1, 1000.0: 1}


def test_histogram_is_numpys_on_a_random_slice():
    hu = np.random.default_rng(1).normal(20, 400, (64, 64)).astype(np.float32)
    finite = np.concatenate([[-1e9], floors.HISTOGRAM_EDGES_HU[1:-1], [1e9]])
    expected = np.histogram(hu, finite)[0] / hu.size
    # float32 shares of 4,096 pixels are exact.
    np.testing.assert_array_equal(floors.hu_histogram(hu), expected)


@pytest.mark.parametrize("hu", [np.zeros((0, 4), np.float32), np.full((2, 2), np.nan, np.float32)])
def test_histogram_of_no_pixel_or_of_nan_is_refused(hu: np.ndarray):
    with pytest.raises(ValueError, match="hu needs"):
        floors.hu_histogram(hu)


def test_relative_position_runs_from_0_at_the_feet_to_1_at_the_head_of_each_scan():
    scans = np.array(["a", "b", "a", "a", "c"])
    position_mm = np.array([10.0, -5.0, 30.0, 15.0, 0.0])
    np.testing.assert_array_equal(floors.relative_position(scans, position_mm), [0, 0.5, 1, 0.25, 0.5])
