"""`kill -9` at moments drawn over the whole run of a command, then the same command again: the digests of a run left alone.

Two moments here, ten of each command in `make campaign`. Each command runs on one thread: the same thread count gives the same bits.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from kills import digests, kill_after, run

pytestmark = pytest.mark.xdist_group("small_run")
MOMENTS = np.random.default_rng(20261121).uniform(0.1, 0.95, 10).tolist()


def check_train_cnn(small_run, moment: float, folder: Path) -> None:
    kill_after(moment * small_run.seconds["train-cnn"], *small_run.train_cnn(folder))
    run(*small_run.train_cnn(folder))
    expected = digests(small_run.folder, "stage_one/cnn.safetensors")
    assert len(expected) == 1
    assert digests(folder, "stage_one/cnn.safetensors") == expected


def check_extract_features(small_run, moment: float, folder: Path) -> None:
    shutil.copytree(small_run.folder, folder, ignore=shutil.ignore_patterns("features", "stage_two", "model"))
    command = ["extract-features", "--run", str(folder), "--jobs", "1"]
    kill_after(moment * small_run.seconds["extract-features"], *command)
    run(*command)
    expected = digests(small_run.folder, "features/**/*.*")
    assert len(expected) == 12 + 5  # a part a series; index, PCA, coordinates, extractor, ledger
    assert digests(folder, "features/**/*.*") == expected


@pytest.mark.parametrize("moment", MOMENTS[:1])
def test_train_cnn_killed_and_run_again_gives_the_weights_of_a_run_left_alone(
    small_run, moment: float, tmp_path: Path
) -> None:
    check_train_cnn(small_run, moment, tmp_path / "run")


@pytest.mark.parametrize("moment", MOMENTS[1:2])
def test_extract_features_killed_and_run_again_gives_the_cache_of_a_run_left_alone(
    small_run, moment: float, tmp_path: Path
) -> None:
    check_extract_features(small_run, moment, tmp_path / "run")


@pytest.mark.campaign
@pytest.mark.parametrize("moment", MOMENTS)
def test_ten_kills_of_train_cnn(small_run, moment: float, tmp_path: Path) -> None:
    check_train_cnn(small_run, moment, tmp_path / "run")


@pytest.mark.campaign
@pytest.mark.parametrize("moment", MOMENTS)
def test_ten_kills_of_extract_features(small_run, moment: float, tmp_path: Path) -> None:
    check_extract_features(small_run, moment, tmp_path / "run")
