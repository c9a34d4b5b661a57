"""`train-lstm` with several seeds, by the command: what it prints, notes, draws and ships."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
from kills import command, digests
from safetensors.numpy import load_file


def test_two_seeds_are_fitted_told_and_noted_and_the_kept_one_is_shipped(small_run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(small_run.folder, folder, ignore=shutil.ignore_patterns("stage_two", "model", "evaluation"))
    config = json.loads((folder / "config.json").read_text())
    config["train_lstm"]["seeds"] = 2
    del config["sha256"]  # changed on purpose
    (folder / "config.json").write_text(json.dumps(config))
    words = command("train-lstm", "--run", str(folder), "--jobs", "1")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "stage two, seed_0 (1 of 2)" in done.stderr
    assert "stage two, seed_1 (2 of 2)" in done.stderr
    assert "Over 2 seeds, on validation patients: loss 0." in done.stdout
    assert digests(folder / "stage_two" / "seed_0", "*.safetensors") == digests(
        small_run.folder / "stage_two", "*.safetensors"
    )
    step = json.loads((folder / "run.json").read_text())["steps"]["train-lstm"]
    assert list(step["seeds"]) == ["seed_0", "seed_1"]
    assert step["validation_loss"] == min(each["validation_loss"] for each in step["seeds"].values())
    assert step["seeds"][step["kept"]]["validation_loss"] == step["validation_loss"]
    kept = load_file(folder / "stage_two" / step["kept"] / "lstm.safetensors")
    shipped = load_file(folder / "model" / "weights.safetensors")
    for name, weights in kept.items():
        assert np.array_equal(shipped[f"lstm.{name}"], weights)
    model = json.loads((folder / "model" / "model.json").read_text())
    assert model["validation_loss"]["stage_two"] == step["validation_loss"]
    assert (folder / "stage_two" / "curves.png").read_bytes()[:4] == b"\x89PNG"
