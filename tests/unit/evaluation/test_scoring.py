"""Many series through a bundle: what is kept, what is taken up, what cannot be read."""

from pathlib import Path

import numpy as np
import pytest
import torch
from dicom_factory import make_series
from tiny_model import load_tiny_model, write_tiny_model

import ich_seq
from ich_seq.errors import DatasetError, OutputError
from ich_seq.evaluation.external import score_rows
from ich_seq.evaluation.scoring import ScoreStore, score_series, score_table
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.headers import read_headers


@pytest.fixture
def scene(tmp_path: Path):
    """A tiny model, and the rows of a series of 12 slices."""
    torch.set_num_threads(1)
    write_tiny_model(tmp_path / "model")
    make_series(tmp_path / "scan", slices=12)
    files = sorted(path.name for path in (tmp_path / "scan").iterdir())
    rows = read_headers(tmp_path / "scan", files, jobs=1).table.sort_values("position_mm", ignore_index=True)
    return load_tiny_model(tmp_path / "model"), rows.assign(**dict.fromkeys(LABEL_NAMES, 0)), tmp_path / "scan"


def test_a_series_is_scored_as_score_study_scores_it(scene) -> None:
    model, rows, root = scene
    found, result = score_series(model, rows, root), ich_seq.score_study(root, model)
    for k, label in enumerate(LABEL_NAMES):
        # Six decimals are kept.
        np.testing.assert_allclose(
            found.stage_one[:, k], [each.stage_one.of(label) for each in result.slices], atol=1e-6
        )
        np.testing.assert_allclose(
            found.stage_two[:, k], [each.stage_two.of(label) for each in result.slices], atol=1e-6
        )


def test_what_is_in_the_store_is_not_scored_again_and_is_the_same(scene, tmp_path: Path) -> None:
    model, rows, root = scene
    digest = model.info.digest()
    ((_, first),) = score_table(model, rows, root, ScoreStore(tmp_path / "scored.jsonl", digest))
    with (tmp_path / "scored.jsonl").open("a") as file:
        file.write('{"series": "cut sho')
    ((_, again),) = score_table(model, rows, Path("/nowhere"), ScoreStore(tmp_path / "scored.jsonl", digest))
    np.testing.assert_array_equal(first.stage_two, again.stage_two)
    np.testing.assert_array_equal(first.stage_one, again.stage_one)
    with pytest.raises(OutputError, match="holds scores of another model; remove it"):
        ScoreStore(tmp_path / "scored.jsonl", "0" * 64)


def test_a_slice_that_cannot_be_read_is_left_out_and_the_series_is_not_kept(scene, tmp_path: Path) -> None:
    model, rows, root = scene
    damaged = root / rows["path"].iloc[9]
    damaged.write_bytes(damaged.read_bytes()[:-300])
    store = ScoreStore(tmp_path / "scored.jsonl", model.info.digest())
    scored = score_rows(model, rows, root, store)
    assert len(scored.scores) == 11
    assert len(scored.unreadable) == 1
    assert damaged.name in scored.unreadable[0]
    assert ScoreStore(tmp_path / "scored.jsonl", model.info.digest()).find(rows) is None
    expected = score_series(model, rows.drop(index=9), root)
    np.testing.assert_array_equal(scored.scores[[f"two_{name}" for name in LABEL_NAMES]], expected.stage_two)
    other = root / rows["path"].iloc[3]
    other.write_bytes(other.read_bytes()[:-300])
    with pytest.raises(DatasetError, match="2 of 12 slices cannot be read, more than 1%"):
        score_rows(model, rows, root, store)
