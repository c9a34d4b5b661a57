"""Explanations of ensembles: the members' maps by hand, grids that differ, neighbours, and who is named where a map is missing."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from dicom_factory import make_series
from heat_scales import plain_scale
from tiny_ensemble import WITH_NEIGHBOURS, describe_tiny, write_tiny_ensemble
from tiny_model import load_tiny_model, write_tiny_model

from ich_seq.cli import main
from ich_seq.combining import Combination, average, equal_weights
from ich_seq.config import PreprocessConfig
from ich_seq.labels import LABEL_NAMES
from ich_seq.model.ensemble import EnsembleInfo
from ich_seq.model.heat_scale import Stage
from ich_seq.model.members import find_members, write_ensemble
from ich_seq.study.ensemble import EnsembleModel
from ich_seq.study.explain import Asked, Explanation, explain_study
from ich_seq.study.explain_ensemble import GRID_CELLS, ensemble_scale, onto_grid
from ich_seq.study.explain_ensemble import explain_ensemble as explain
from ich_seq.study.model import StudyModel
from ich_seq.study.score import ScoredStudy, score_studies
from ich_seq.thresholds import Threshold, Thresholds

FIRST, SECOND = 0.01, 0.002
"""The members' constants."""
LABELS = ("epidural", "any")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models with maps of 2 by 2 cells, one with neighbours and 3 by 3, and a scan."""
    base = tmp_path_factory.mktemp("made")
    write_tiny_model(base / "first", size=64, name="first")
    write_tiny_model(base / "second", size=64, name="second", backbone="resnext14_8x4d", reduced=5)
    write_tiny_model(base / "other", preprocess=WITH_NEIGHBOURS.model_copy(update={"size": 96}), name="other")
    for name, constant in (("first", FIRST), ("second", SECOND), ("other", FIRST)):
        plain_scale(base / name, constant=constant)
    make_series(base / "scan", slices=5)
    return base


def scored_by(made: Path, model: StudyModel) -> ScoredStudy:
    (scored,) = score_studies([made / "scan"], model)
    assert isinstance(scored, ScoredStudy)
    return scored


def described(made: Path, names: tuple[str, ...], by: Combination, threshold: float = 0.0) -> EnsembleInfo:
    """With the same threshold for every label and stage."""
    points = tuple(
        Threshold(level="slice", label=label, rule="balanced", score=threshold, positives=1, negatives=1)
        for label in LABEL_NAMES
    )
    shipped = Thresholds(patients=1, points=points)
    folders = [made / name for name in names]
    return describe_tiny(folders, by, thresholds=shipped, slice_thresholds_one=(threshold,) * 6)


def explained(made: Path, *names: str, by: Combination, stage: Stage = "two", threshold: float = 0.0) -> Explanation:
    """Slices 1 and 3 by an ensemble of the models of these names."""
    model = EnsembleModel(described(made, names, by, threshold), [load_tiny_model(made / name) for name in names])
    scales = [plain_scale(made / name, constant=SECOND if name == "second" else FIRST) for name in names]
    return explain(scored_by(made, model), model, scales, Asked((3, 1), LABELS, stage))


def alone(made: Path, name: str, stage: Stage) -> Explanation:
    model = load_tiny_model(made / name)
    scale = plain_scale(made / name, constant=SECOND if name == "second" else FIRST)
    return explain_study(scored_by(made, model), model, scale, Asked((1, 3), LABELS, stage))


@pytest.mark.parametrize("stage", ["one", "two"])
def test_the_map_is_the_weighted_sum_of_the_members_maps_each_on_its_own_scale(made: Path, stage: Stage) -> None:
    weights = ((0.25, *(0.5,) * 5), (0.75, *(0.5,) * 5))
    by = Combination(method="fitted", weights=weights, chosen_on="slice")
    found, first, second = (
        explained(made, "first", "second", by=by, stage=stage),
        alone(made, "first", stage),
        alone(made, "second", stage),
    )
    assert found.places == (1, 3)
    for label, share in (("epidural", 0.25), ("any", 0.5)):
        for place in found.places:
            wanted = share * first.heats[place, label].cells + (1 - share) * second.heats[place, label].cells
            heat = found.heats[place, label]
            np.testing.assert_allclose(heat.cells, wanted, rtol=1e-4, atol=1e-6)  # scores are of float32 networks
            score = found.result.slices[place]
            assert heat.score == (score.stage_one if stage == "one" else score.stage_two).of(label)
            assert heat.verdict == "drawn"
    assert max(heat.cells.max() for heat in found.heats.values()) > 0.01


def test_one_member_is_explained_as_by_itself(made: Path) -> None:
    found, by_itself = explained(made, "first", by=average(1)), alone(made, "first", "two")
    for key, heat in by_itself.heats.items():
        np.testing.assert_allclose(found.heats[key].cells, heat.cells, rtol=1e-5, atol=1e-7)
        assert found.heats[key].score == heat.score
        without = [each.score_without for each in found.heats[key].neighbours]
        assert without == pytest.approx([each.score_without for each in heat.neighbours], abs=1e-7)
    assert found.field((80, 80)) == by_itself.field((80, 80))


def test_a_vote_is_explained_by_its_members_in_equal_parts(made: Path) -> None:
    by = Combination(method="vote", weights=equal_weights(2), thresholds=((0.0,) * 6, (1.0,) * 6), chosen_on="slice")
    vote, mean = (explained(made, "first", "second", by=each) for each in (by, average(2)))
    for key, heat in mean.heats.items():
        np.testing.assert_array_equal(vote.heats[key].cells, heat.cells)
        assert vote.heats[key].score == 0.5
        assert {each.score_without for each in vote.heats[key].neighbours} == {0.5}


def test_maps_of_other_cells_are_added_up_on_one_grid(made: Path) -> None:
    found = explained(made, "first", "other", by=average(2))
    first, other = alone(made, "first", "two"), alone(made, "other", "two")
    for key, heat in found.heats.items():
        assert heat.cells.shape == (GRID_CELLS, GRID_CELLS)
        parts = [onto_grid(each.heats[key].cells, each.preprocess, (64, 80)) for each in (first, other)]
        np.testing.assert_allclose(heat.cells, (parts[0] + parts[1]) / 2, rtol=1e-3, atol=1e-5)


def test_left_stays_left_on_the_grid_and_nothing_is_drawn_beside_a_map() -> None:
    """Two cells side by side over the square: level up to the centre of each, by hand 8 of 32 cells from the edges."""
    cells = np.array([[0, 1], [0, 1]], np.float32)
    found = onto_grid(cells, PreprocessConfig(), (64, 80))
    assert (found == found[0]).all()
    assert (found[0, :8] == 0).all()
    assert (found[0, 24:] == 1).all()
    np.testing.assert_allclose(found[0, 8:24], (np.arange(16) + 0.5) / 16, rtol=1e-6)
    cut = PreprocessConfig(size=40, resize="pad_or_crop")
    in_the_middle = onto_grid(np.ones((2, 2), np.float32), cut, (80, 80))
    assert in_the_middle.sum() == 16 * 16
    assert (in_the_middle[8:24, 8:24] == 1).all()


def test_a_neighbours_part_is_the_ensembles_score_less_the_score_without_it(made: Path) -> None:
    """The scan without the file of its last slice, scored anew by the ensemble; its member reads slices by themselves."""
    found = explained(made, "first", "second", by=average(2))
    model = EnsembleModel(
        described(made, ("first", "second"), average(2)), [load_tiny_model(made / name) for name in ("first", "second")]
    )
    (shorter,) = score_studies([path for path in (made / "scan").iterdir() if not path.stem.endswith("_4")], model)
    assert isinstance(shorter, ScoredStudy)
    without = {each.index: each.score_without for each in found.heats[3, "any"].neighbours}
    assert sorted(without) == [0, 1, 2, 4]
    assert without[4] == pytest.approx(shorter.result.slices[3].stage_two.any, abs=1e-6)


def test_the_ensembles_own_threshold_decides_what_is_drawn(made: Path) -> None:
    for stage in ("one", "two"):
        found = explained(made, "first", "second", by=average(2), stage=stage, threshold=0.9)
        assert {(heat.threshold, heat.verdict) for heat in found.heats.values()} == {(0.9, "below the threshold")}


def test_a_label_without_a_constant_in_a_member_that_counts_has_no_scale(made: Path) -> None:
    weights = ((1.0, *(0.5,) * 5), (0.0, *(0.5,) * 5))
    info = described(made, ("first", "second"), Combination(method="fitted", weights=weights, chosen_on="slice"))
    known, unknown = plain_scale(made / "first"), plain_scale(made / "second", constant=None)
    found = ensemble_scale(info, [known, unknown])
    assert found.find("two", "epidural").constant == 1
    assert found.find("two", "any").constant is None


def ichseq(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_the_command_explains_an_ensemble_and_names_a_member_that_cannot_be(made: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    plain_scale(made / "first", constant=FIRST)
    info = described(made, ("first", "other"), average(2))
    write_ensemble(few, info, find_members([made / "first", made / "other"]))
    words = ("explain-study", made / "scan", "--model", few, "--out", tmp_path / "out", "--label", "any", "--jobs", 1)
    done = ichseq(*words)
    assert done.exit_code == 0, done.output
    page = " ".join((tmp_path / "out" / "explanation.html").read_text().split())
    assert "Each of the 2 models has one of its own" in page
    assert "whose own cells may be larger, lie on a grid of 32 by 32 cells" in page
    assert '"member_scales": [' in (tmp_path / "out" / "explanation.json").read_text()
    (few / "members" / "02" / "explain.json").unlink()
    done = ichseq(*words)
    assert (done.exit_code, "members/02: the model has no scale for explanations" in done.output) == (6, True)
    write_tiny_model(tmp_path / "flat", size=32, name="flat")
    plain_scale(tmp_path / "flat")
    write_tiny_ensemble(tmp_path / "with_flat", [made / "first", tmp_path / "flat"])
    done = ichseq(*words[:3], tmp_path / "with_flat", *words[4:])
    assert (done.exit_code, "member 02, flat: the classifier's last feature map has 1 x 1 places" in done.output) == (
        6,
        True,
    )
