"""Several processes train and extract as one does; torchrun starts them, they meet by gloo."""

import json
import shutil
from pathlib import Path

import pytest
from kills import digests, run_here, together

LOSS = 1e-5


def curve(run: Path) -> list[float]:
    """Training and validation loss of every epoch."""
    lines = (run / "stage_one" / "metrics.jsonl").read_text().splitlines()
    return [loss for line in map(json.loads, lines) for loss in (line["train_loss"], line["validation"]["loss"])]


@pytest.fixture(scope="module")
def frozen(small_run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small config with batch-norm statistics frozen; the network has no dropout."""
    path = tmp_path_factory.mktemp("frozen") / "frozen.toml"
    text = small_run.config.read_text().replace("epochs = 3", "epochs = 2").replace("batch_size = 8", "batch_size = 16")
    text = text.replace("learning_rate = 1e-3", "learning_rate = 1e-4", 1)  # a tenth: Adam makes much of the last bit
    path.write_text(text.replace("[train_cnn]", "[train_cnn]\nfreeze_batch_norm = true\nclip_norm = 1.0"))
    return path


def test_two_processes_give_the_loss_curve_of_one_with_the_whole_batch(small_run, frozen: Path, tmp_path: Path) -> None:
    words = ["train-cnn", "--config", str(frozen), "--table", str(small_run.table), "--jobs", "1", "--device", "cpu"]
    code, said = run_here(*words, "--run", str(tmp_path / "one"))
    assert code == 0, said
    both = together(2, *words, "--run", str(tmp_path / "two"))
    assert both.returncode == 0, both.stderr
    assert both.stdout.count("Stage one is trained") == 1
    expected = curve(tmp_path / "one")
    assert len(set(expected)) == len(expected) == 4
    assert curve(tmp_path / "two") == pytest.approx(expected, abs=LOSS)
    names = ("best.pt", "cnn.safetensors", "curves.png", "last.pt", "metrics.jsonl")
    assert list(digests(tmp_path / "two", "stage_one/*.*")) == [f"stage_one/{name}" for name in names]


def test_what_is_one_process_is_not_started_as_several(small_run) -> None:
    done = together(2, "train-lstm", "--run", str(small_run.folder))
    assert done.returncode != 0
    assert "train-lstm: is one process" in done.stderr


@pytest.mark.campaign
def test_two_processes_leave_a_finished_run_as_it_is(small_run, tmp_path: Path) -> None:
    shutil.copytree(small_run.folder, tmp_path / "run")
    before = digests(tmp_path / "run", "stage_one/*.*")
    again = together(2, *small_run.train_cnn(tmp_path / "run"), "--device", "cpu")
    assert again.returncode == 0, again.stderr
    assert digests(tmp_path / "run", "stage_one/*.*") == before
