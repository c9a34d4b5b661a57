"""The papers' other classifiers through the same steps: neighbouring slices, small networks, other outputs, other training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import ich_seq
from ich_seq.cli import main
from ich_seq.config import Config
from ich_seq.embeddings.extract import open_current_cache
from ich_seq.errors import DatasetError
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.table import read_table
from ich_seq.slices.tiles import TileSource
from ich_seq.slices.train import load_cnn, train_cnn
from ich_seq.training.run import open_run

ASIP = """
name = "asip small"
about = "Three neighbouring slices, a small network, two steps and balanced batches."
[split]
stage_one = 0.4
stage_two = 0.2
validation = 0.2
test = 0.2
[preprocess]
windows = [{ level = 60, width = 40 }]
mean = [0.0]
std = [1.0]
size = 32
adjacent_slices = 1
[cnn]
backbone = "kumar2021_cnn"
weights = "none"
dense = 24
head_dropout = 0.125
output = "two_step"
[train_cnn]
epochs = 1
batch_size = 16
sampling = "balanced"
any_weight = 5.0
learning_rate = 1e-3
workers = 0
precision = "fp32"
keep_tiles_in_memory = true
[train_cnn.augment]
vertical_flip_probability = 0.5
[features]
precision = "fp32"
[lstm]
hidden = 8
layers = 1
[train_lstm]
epochs = 1
learning_rate = 1e-3
"""


def command(*words: object) -> str:
    """A command in this process: starting five of them would take longer than what they do."""
    result = CliRunner().invoke(main, [*map(str, words), "--jobs", "1", "--quiet"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def run_folder(small_run, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("asip")
    (folder / "asip.toml").write_text(ASIP)
    command("train-cnn", "--config", folder / "asip.toml", "--table", small_run.table, "--run", folder / "run")
    command("extract-features", "--run", folder / "run")
    command("train-lstm", "--run", folder / "run")
    command("evaluate", "--run", folder / "run")
    return folder / "run"


def test_a_scan_is_scored_as_training_and_extraction_read_it(run_folder, small_run) -> None:
    run, table = open_run(run_folder), read_table(small_run.table)
    network = load_cnn(run.config, run.stage_one)
    uid = table.loc[table["split"] == "test", "series_instance_uid"].iloc[0]
    rows = table[table["series_instance_uid"] == uid].sort_values("position_mm", ignore_index=True)
    cache = open_current_cache(run.features, network)
    extracted = next(each for each in cache.series() if each.series_instance_uid == uid)
    result = ich_seq.score_study([small_run.cohort / path for path in rows["path"]], run.model)
    (batch,) = TileSource(rows, small_run.cohort, network.preprocess).batches([list(range(len(rows)))])
    with torch.no_grad():
        trained = network(batch.tiles)
    assert network.embedding_width == 24
    assert batch.tiles.shape[1] == 3
    scored = [[each.stage_one.of(name) for name in LABEL_NAMES] for each in result.slices]
    assert [each.sop_instance_uid for each in result.slices] == list(extracted.sop_instance_uids)
    # The batches differ, so sums are in another order; embeddings are kept as float16, of which half a step is 2^-11 of them.
    np.testing.assert_allclose(torch.sigmoid(trained.logits), scored, atol=1e-6)
    np.testing.assert_allclose(1 / (1 + np.exp(-extracted.logits)), scored, atol=1e-6)
    np.testing.assert_allclose(extracted.embedding, trained.embedding, rtol=2**-10, atol=1e-6)


def test_no_subtype_is_likelier_than_any_in_two_steps(run_folder, small_run) -> None:
    run = open_run(run_folder)
    network = load_cnn(run.config, run.stage_one)
    logits = np.concatenate([each.logits for each in open_current_cache(run.features, network).series()])
    assert (logits[:, :5].max(axis=1) <= logits[:, 5] + 1e-6).all()
    assert "windows 60/40 HU, with 1 slice(s) on either side" in (run.model / "README.md").read_text().replace(
        "\n", " "
    )


PRINTED = {
    "lussier": {
        "preprocess": {"windows": [], "windowing": "largest_absolute", "mean": [0.5], "std": [0.5]},
        "cnn": {"backbone": "lussier_cnn", "output": "softmax", "head_dropout": 0.5},
        "train_cnn": {"optimizer": "adadelta"},
    },
    "kumar2021_positives": {
        "preprocess": {"grey_mean": True, "resize": "every_nth", "mean": [0.0], "std": [1.0]},
        "cnn": {"backbone": "kumar2021_cnn", "output": "classes"},
        "train_cnn": {"sampling": "positives"},
    },
    "kumar2021": {
        "preprocess": {"grey_mean": True, "resize": "every_nth", "mean": [0.0], "std": [1.0]},
        "cnn": {"backbone": "kumar2021_cnn", "output": "classes_none"},
        "train_cnn": {"label_smoothing": 0.1},
    },
    "lee2019": {
        "preprocess": {"windowing": "sigmoid", "resize": "pad_or_crop", "max_pool": 2},
        "cnn": {"backbone": "resnet18", "head_dropout": 0.2},
        "train_cnn": {"sampling": "balanced", "any_weight": 1.0},
    },
}


@pytest.mark.parametrize("name", PRINTED)
def test_each_papers_training_takes_steps_and_is_read_again(name: str, small_run, tmp_path) -> None:
    change = PRINTED[name]
    steps = {
        "epochs": 1,
        "steps_per_epoch": 2,
        "batch_size": 8,
        "workers": 0,
        "learning_rate": 1e-3,
        "precision": "fp32",
    }
    config = Config.model_validate(
        {
            "name": name,
            "about": "for tests",
            "preprocess": {"size": 32} | change["preprocess"],
            "cnn": {"weights": "none"} | change["cnn"],
            "train_cnn": steps | change["train_cnn"],
        }
    )
    table = read_table(small_run.table)
    validation = table[table["split"] == "validation"]
    positive = validation[validation["any"] == 1]
    table = table[table["split"].eq("stage_one") | table.index.isin([*positive.index[:8], *validation.index[:8]])]
    result = train_cnn(config, table, small_run.cohort, tmp_path / "stage_one", "cpu")
    network = load_cnn(config, tmp_path / "stage_one")
    assert np.isfinite(result.best_loss)
    shares = network.state_dict().get("head.membership")
    if shares is not None and name.startswith("kumar"):
        taught = table[table["split"] == "stage_one"][list(LABEL_NAMES[:5])].to_numpy()
        several = taught[taught.sum(axis=1) > 1]
        expected = several.mean(axis=0) if len(several) else np.full(5, 0.4)
        np.testing.assert_allclose(shares[:5, 5], expected, atol=1e-6)  # float32


def test_classes_of_positive_slices_alone_need_some(small_run, tmp_path) -> None:
    change = PRINTED["kumar2021_positives"]
    config = Config.model_validate({"name": "x", "about": "x", **change, "cnn": {**change["cnn"], "weights": "none"}})
    table = read_table(small_run.table)
    with pytest.raises(DatasetError, match="no slices with blood in stage_one"):
        train_cnn(config, table[table["any"] == 0], small_run.cohort, tmp_path / "stage_one", "cpu")
