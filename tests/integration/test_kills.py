"""`kill -9` at moments drawn over the whole run of a command, then the same command again: the digests of a run left alone.

Two moments here, ten in `make campaign`. Each command runs on one thread: the same thread count gives the same bits.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from kills import digests, kill_after, run

from ich_seq.config import SplitConfig
from ich_seq.files import write_text
from ich_seq.manifest.index import index_dataset
from ich_seq.manifest.table import write_table
from ich_seq.phantom.cohort import CohortSpec, write_cohort

CONFIG = """
name = "kills"
about = "Small enough to be killed often."
[split]
stage_one = 0.4
stage_two = 0.2
validation = 0.2
test = 0.2
[preprocess]
size = 32
[cnn]
backbone = "resnext14_8x4d"
weights = "none"
[train_cnn]
epochs = 3
batch_size = 8
learning_rate = 1e-3
workers = 0
precision = "fp32"
checkpoint_every_s = 0.3
[features]
pca_components = 8
"""
PREVALENCE = dict.fromkeys(("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural"), 0.4)
MOMENTS = np.random.default_rng(20261121).uniform(0.1, 0.95, 10).tolist()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """A run left alone: its folder, its inputs, and how long each command took."""
    base = tmp_path_factory.mktemp("kills")
    spec = CohortSpec(studies=12, seed=3, slices=(20, 20), matrices=(256,), prevalence=PREVALENCE)
    root = write_cohort(spec, base / "cohort", jobs=1)
    table, _ = index_dataset("phantom", root, SplitConfig(stage_one=0.4, stage_two=0.2, validation=0.2, test=0.2), 1)
    table.attrs["root"] = str(root)
    write_table(table, base / "slices.parquet")
    write_text(base / "kills.toml", CONFIG)
    cnn = ["train-cnn", "--config", str(base / "kills.toml"), "--table", str(base / "slices.parquet"), "--jobs", "1"]
    seconds = {"train-cnn": run(*cnn, "--run", str(base / "whole"))}
    seconds["extract-features"] = run("extract-features", "--run", str(base / "whole"), "--jobs", "1")
    return {"base": base, "cnn": cnn, "seconds": seconds}


def check_train_cnn(whole: dict, moment: float, folder: Path) -> None:
    kill_after(moment * whole["seconds"]["train-cnn"], *whole["cnn"], "--run", str(folder))
    run(*whole["cnn"], "--run", str(folder))
    expected = digests(whole["base"] / "whole", "stage_one/cnn.safetensors")
    assert len(expected) == 1
    assert digests(folder, "stage_one/cnn.safetensors") == expected


def check_extract_features(whole: dict, moment: float, folder: Path) -> None:
    shutil.copytree(whole["base"] / "whole", folder, ignore=shutil.ignore_patterns("features"))
    command = ["extract-features", "--run", str(folder), "--jobs", "1"]
    kill_after(moment * whole["seconds"]["extract-features"], *command)
    run(*command)
    expected = digests(whole["base"] / "whole", "features/**/*.*")
    assert len(expected) == 12 + 4  # a part a series, index, PCA, coordinates, extractor
    assert digests(folder, "features/**/*.*") == expected


@pytest.mark.parametrize("moment", MOMENTS[:1])
def test_train_cnn_killed_and_run_again_gives_the_weights_of_a_run_left_alone(
    whole: dict, moment: float, tmp_path: Path
) -> None:
    check_train_cnn(whole, moment, tmp_path / "run")


@pytest.mark.parametrize("moment", MOMENTS[1:2])
def test_extract_features_killed_and_run_again_gives_the_cache_of_a_run_left_alone(
    whole: dict, moment: float, tmp_path: Path
) -> None:
    check_extract_features(whole, moment, tmp_path / "run")


@pytest.mark.campaign
@pytest.mark.parametrize("moment", MOMENTS)
def test_ten_kills_of_train_cnn(whole: dict, moment: float, tmp_path: Path) -> None:
    check_train_cnn(whole, moment, tmp_path / "run")


@pytest.mark.campaign
@pytest.mark.parametrize("moment", MOMENTS)
def test_ten_kills_of_extract_features(whole: dict, moment: float, tmp_path: Path) -> None:
    check_extract_features(whole, moment, tmp_path / "run")
