"""Ensembles as they score: hand arithmetic over what the members say, one member alone, members that differ."""

from pathlib import Path

import numpy as np
import pytest
from dicom_factory import make_series
from tiny_ensemble import describe_tiny, write_tiny_ensemble, write_tiny_members
from tiny_model import load_tiny_model

from ich_seq.combining import Combination, average, equal_weights
from ich_seq.errors import InputRefusedError
from ich_seq.study.ensemble import EnsembleModel, combined
from ich_seq.study.model import StudyModel, load_model
from ich_seq.study.result import StudyResult
from ich_seq.study.score import score_study
from ich_seq.training.compute import set_threads

SLICES = 19
"""Two chunks of eight and a rest."""


@pytest.fixture(scope="module", autouse=True)
def same_threads() -> None:
    """Models that were loaded and those that scoring loads compute on as many threads: another number sums in another order."""
    set_threads(0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two members, a scan, and what each member says of it by itself."""
    base = tmp_path_factory.mktemp("made")
    write_tiny_members(base)
    make_series(base / "scan", slices=SLICES)
    return base


@pytest.fixture(scope="module")
def alone(made: Path) -> list[StudyResult]:
    return [score_study(made / "scan", load_tiny_model(made / name)) for name in ("alone", "neighbours")]


def ensemble(made: Path, *names: str, by: Combination) -> EnsembleModel:
    folders = [made / name for name in names]
    return EnsembleModel(describe_tiny(folders, by), [load_tiny_model(folder) for folder in folders])


def scores_of(result: StudyResult, stage: str) -> np.ndarray:
    """Probabilities [s, 6] of all slices."""
    return np.array([list(getattr(each, stage).model_dump().values()) for each in result.slices], np.float32)


def test_an_ensemble_of_one_model_is_that_model_to_the_bit(
    made: Path, alone: list[StudyResult], tmp_path: Path
) -> None:
    """Read from disk, and whether or not the member reads neighbours."""
    for name, by_itself in zip(("alone", "neighbours"), alone, strict=True):
        write_tiny_ensemble(tmp_path / name, [made / name])
        one = score_study(made / "scan", tmp_path / name)
        assert one.slices == by_itself.slices
        assert one.scan == by_itself.scan
        assert one.status == by_itself.status
        assert (one.computed, one.model.backbone) == (by_itself.computed, by_itself.model.backbone)
        assert one.model.digest != by_itself.model.digest
        assert [each.digest for each in one.model.members] == [by_itself.model.digest]


def test_an_average_is_the_mean_of_what_members_say_alone_slice_by_slice_and_stage_by_stage(
    made: Path, alone: list[StudyResult]
) -> None:
    """The members differ in size, windows, width of the PCA and neighbours; each is asked as when it scores by itself."""
    found = score_study(made / "scan", ensemble(made, "alone", "neighbours", by=average(2)))
    for stage in ("stage_one", "stage_two"):
        first, second = (scores_of(each, stage).astype(np.float64) for each in alone)
        assert np.abs(first - second).max() > 0.005
        np.testing.assert_array_equal(scores_of(found, stage), ((first + second) / 2).astype(np.float32))
    assert found.label("any").stage_two.probability == scores_of(found, "stage_two")[:, 5].max()
    assert [each.name for each in found.model.members] == ["alone", "neighbours"]
    assert (found.model.combined_by, found.model.input_size, len(found.model.windows)) == ("average", 48, 3)
    assert [each.adjacent_slices for each in found.model.members] == [0, 1]


def test_weights_are_those_of_each_label(made: Path, alone: list[StudyResult]) -> None:
    weights = ((0.25, *(1.0,) * 5), (0.75, *(0.0,) * 5))
    by = Combination(method="fitted", weights=weights, chosen_on="slice")
    found = scores_of(score_study(made / "scan", ensemble(made, "alone", "neighbours", by=by)), "stage_two")
    first, second = (scores_of(each, "stage_two").astype(np.float64) for each in alone)
    np.testing.assert_allclose(found[:, 0], 0.25 * first[:, 0] + 0.75 * second[:, 0], rtol=1e-6)  # float32
    np.testing.assert_array_equal(found[:, 1:], first[:, 1:].astype(np.float32))


def test_a_vote_counts_who_is_at_the_threshold_and_a_tie_is_one_half(made: Path, alone: list[StudyResult]) -> None:
    """The thresholds are themselves scores: of the first member's slice 4, of the second's slice 9."""
    first, second = (scores_of(each, "stage_two") for each in alone)
    thresholds = tuple(map(float, first[4])), tuple(map(float, second[9]))
    by = Combination(method="vote", weights=equal_weights(2), thresholds=thresholds, chosen_on="slice")
    found = scores_of(score_study(made / "scan", ensemble(made, "alone", "neighbours", by=by)), "stage_two")
    wanted = ((first >= first[4]).astype(int) + (second >= second[9])) / 2
    np.testing.assert_array_equal(found, wanted)
    assert (found == 0.5).any()
    assert (found[4] >= 0.5).all()


def test_a_combination_stays_within_its_members_in_float32() -> None:
    prob = [np.full((1, 6), value, np.float32) for value in (0.1, 0.1, 0.1)]
    assert (combined(average(3), prob) == np.float32(0.1)).all()


def test_members_have_no_neighbours_but_their_own(made: Path) -> None:
    """Whatever lies beside the slices that are asked for, a member that reads slices by themselves says the same."""
    both = ensemble(made, "alone", "neighbours", by=average(2))
    assert isinstance(both, StudyModel)
    rng = np.random.default_rng(0)
    slices = [rng.uniform(-100, 200, (40, 40)).astype(np.float32) for _ in range(5)]
    own, other = load_tiny_model(made / "alone"), load_tiny_model(made / "neighbours")
    found = both.read_slices(slices, range(2, 4))
    np.testing.assert_array_equal(found.reduced[:, :6], own.read_slices(slices[2:4]).prob)
    np.testing.assert_array_equal(found.reduced[:, 14:20], other.read_slices(slices[1:5], range(1, 3)).prob)
    assert found.reduced.shape == (2, 6 + 8 + 6 + 5)


def test_one_slice_is_refused_where_a_member_reads_neighbours(made: Path, tmp_path: Path) -> None:
    paths = make_series(tmp_path / "scan", slices=1)
    with pytest.raises(InputRefusedError, match="this model reads each slice with 1 on either side"):
        score_study(paths, ensemble(made, "alone", "neighbours", by=average(2)))
    assert score_study(paths, ensemble(made, "alone", by=average(1))).series.slices == 1


def test_members_are_as_many_as_are_described(made: Path) -> None:
    with pytest.raises(ValueError, match="1 members for an ensemble of 2"):
        EnsembleModel(describe_tiny([made / "alone", made / "neighbours"]), [load_tiny_model(made / "alone")])


@pytest.mark.campaign  # exporting loads torch's exporter, ONNX and OpenVINO: 16 s of one core
def test_what_computes_is_said_of_the_whole_and_of_each_member(made: Path, tmp_path: Path) -> None:
    """A member that was exported is used through OpenVINO, the other through torch, and the probabilities hardly change."""
    from ich_seq.model.export import export
    from ich_seq.model.runtime import Compute
    from ich_seq.study.score import ScoredStudy, score_studies

    write_tiny_ensemble(tmp_path / "few", [made / "alone", made / "neighbours"])
    before = score_study(made / "scan", load_model(tmp_path / "few"))
    export(tmp_path / "few" / "members" / "01", onnx=False)
    compute = Compute("cpu", 1, "auto", "fp32")
    (scored,) = score_studies([made / "scan"], tmp_path / "few", compute=compute)
    assert isinstance(scored, ScoredStudy)
    after = scored.result
    assert after.computed is not None
    assert (after.computed.runtime, after.computed.precision, after.computed.device) == (
        "openvino and torch",
        "fp32",
        "cpu",
    )
    assert [each.runtime for each in after.model.members] == ["openvino", "torch"]
    assert after.model.digest == before.model.digest
    np.testing.assert_allclose(
        scores_of(after, "stage_two"), scores_of(before, "stage_two"), atol=1e-5
    )  # as export allows
