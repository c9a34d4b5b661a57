"""The pipeline from DICOM to a model by its commands: what it leaves, what it says when run again, what it refuses."""

import csv
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kills import command, digests, run_here
from safetensors.numpy import load_file

import ich_seq
from ich_seq.files import write_bytes
from ich_seq.labels import LABEL_NAMES
from ich_seq.tensors import save_tensors


def run(*words: str) -> None:
    """A command that succeeds; its exit codes and its words are the same in a process of its own, which `test_kills` sees."""
    code, said = run_here(*words)
    assert code == 0, said


def copied(small_run, folder: Path) -> Path:
    shutil.copytree(small_run.folder, folder)
    return folder


def test_a_run_holds_config_weights_cache_metrics_and_model(small_run) -> None:
    names = {path.relative_to(small_run.folder).as_posix() for path in small_run.folder.rglob("*") if path.is_file()}
    assert {
        "config.json",
        "run.json",
        "table.parquet",
        "stage_one/metrics.jsonl",
        "stage_one/cnn.safetensors",
        "stage_one/curves.png",
        "features/index.json",
        "features/pca.safetensors",
        "stage_two/metrics.jsonl",
        "stage_two/lstm.safetensors",
        "stage_two/curves.png",
        "model/model.json",
        "model/weights.safetensors",
        "evaluation/evaluation.json",
        "evaluation/evaluation.html",
    } <= names
    steps = json.loads((small_run.folder / "run.json").read_text())["steps"]
    assert list(steps) == ["index", "train-cnn", "extract-features", "train-lstm", "evaluate"]


def test_each_command_run_again_changes_nothing_and_says_so(small_run, tmp_path: Path) -> None:
    folder = copied(small_run, tmp_path / "run")
    before = digests(folder, "[sfm]*/**/*.*")
    run(*small_run.train_cnn(folder))
    run("extract-features", "--run", str(folder), "--jobs", "1")
    run("train-lstm", "--run", str(folder), "--jobs", "1")
    assert digests(folder, "[sfm]*/**/*.*") == before


def test_a_scan_is_scored_as_it_was_evaluated(small_run) -> None:
    """The evaluation reads cached float16 embeddings; scoring computes them anew in float32: 1e-3 of a probability at most."""
    with (small_run.folder / "evaluation" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    series = rows[0]["series_instance_uid"]
    table = pd.read_parquet(small_run.table)
    paths = [small_run.cohort / path for path in table.loc[table["series_instance_uid"] == series, "path"]]
    result = ich_seq.score_study(paths, small_run.folder / "model")
    evaluated = {row["sop_instance_uid"]: row for row in rows if row["series_instance_uid"] == series}
    assert len(result.slices) == len(evaluated) == 20
    for each in result.slices:
        row = evaluated[each.sop_instance_uid]
        for label in LABEL_NAMES:
            assert each.stage_one.of(label) == pytest.approx(
                float(row[f"one_{label}"]), abs=1e-5
            )  # float32, two batch sizes
            assert each.stage_two.of(label) == pytest.approx(float(row[f"two_{label}"]), abs=1e-3)


def test_no_patient_is_on_two_sides(small_run) -> None:
    table = pd.read_parquet(small_run.table)
    assert (table.groupby("patient_id")["split"].nunique() == 1).all()
    assert set(table["split"]) == {"stage_one", "stage_two", "validation", "test"}


def test_a_cache_made_by_other_weights_is_refused(small_run, tmp_path: Path) -> None:
    folder = copied(small_run, tmp_path / "run")
    weights = load_file(folder / "stage_one" / "cnn.safetensors")
    weights["head.bias"] = weights["head.bias"] + np.ones(6, np.float32)
    write_bytes(folder / "stage_one" / "cnn.safetensors", save_tensors(weights))
    code, text = run_here("extract-features", "--run", str(folder))
    assert code == 6
    assert "begun by other weights or preprocessing" in text.splitlines()[-1]
    code, text = run_here("train-lstm", "--run", str(folder))
    assert code == 6
    assert "made by other weights or preprocessing" in text.splitlines()[-1]


def test_a_config_with_a_misspelt_key_is_refused_before_anything_is_written(small_run, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(
        small_run.config.read_text().replace("learning_rate = 1e-3\nema_decay", "learning_rat = 1e-3\nema_decay")
    )
    words = ["train-cnn", "--config", str(wrong), "--table", str(small_run.table), "--run", str(tmp_path / "run")]
    code, text = run_here(*words)
    assert code == 2
    assert text == f"error: {wrong}: unknown key `train_cnn.learning_rat`; did you mean `learning_rate`?\n"
    assert not (tmp_path / "run").exists()


def test_a_run_with_another_config_is_refused(small_run, tmp_path: Path) -> None:
    folder = copied(small_run, tmp_path / "run")
    words = ["--config", "burduja2020", "--table", str(small_run.table), "--run", str(folder)]
    code, text = run_here("train-cnn", *words)
    assert code == 2
    assert "holds a run with another config" in text


def test_weights_that_cannot_be_had_are_said_before_any_data_are_read(small_run, tmp_path: Path) -> None:
    config = tmp_path / "pretrained.toml"
    config.write_text(small_run.config.read_text().replace('weights = "none"', f'weights = "{tmp_path}/absent.pth"'))
    empty = tmp_path / "moved"
    words = ["--config", str(config), "--table", str(small_run.table), "--run", str(tmp_path / "run")]
    code, text = run_here("train-cnn", *words)
    assert code == 6
    assert text == f"error: {tmp_path}/absent.pth: no such weights file (cnn.weights)\n"
    assert not empty.exists()


def test_images_that_moved_are_found_with_root_or_said(small_run, tmp_path: Path) -> None:
    words = ["--config", str(small_run.config), "--table", str(small_run.table), "--run", str(tmp_path / "run")]
    (tmp_path / "elsewhere").mkdir()
    code, text = run_here("train-cnn", *words, "--root", str(tmp_path / "elsewhere"))
    assert code == 2
    assert "give the folder with --root" in text


@pytest.mark.parametrize("name", ["extract-features", "train-lstm", "evaluate"])
def test_a_step_before_its_turn_says_which_comes_first(name: str, tmp_path: Path) -> None:
    code, text = run_here(name, "--run", str(tmp_path))
    assert code == 2
    assert "start one with `ichseq train-cnn" in text


def test_training_after_a_full_disk_continues_to_the_same_weights(small_run, tmp_path: Path) -> None:
    """A file-size limit makes every write of a checkpoint fail, as a full disk does; then the limit is lifted."""
    words = " ".join(command(*small_run.train_cnn(tmp_path / "run")))
    done = subprocess.run(
        ["bash", "-c", f"trap '' XFSZ; ulimit -f 2000; {words}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 5, done.stderr
    assert "free some space" in done.stderr.splitlines()[-1]
    assert not list((tmp_path / "run").rglob(".writing-*"))
    run(*small_run.train_cnn(tmp_path / "run"))
    assert digests(tmp_path / "run", "stage_one/cnn.safetensors") == digests(
        small_run.folder, "stage_one/cnn.safetensors"
    )


def test_a_start_that_failed_does_not_keep_the_mended_config_out(small_run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(small_run.config.read_text().replace("resnext14_8x4d", "foonet"))
    words = ["train-cnn", "--table", str(small_run.table), "--run", str(tmp_path / "run"), "--jobs", "1"]
    code, errors = run_here(*words, "--config", str(bad))
    assert (code, "foonet" in errors) == (2, True)
    code, errors = run_here(*words, "--config", str(small_run.config), "--root", str(tmp_path))
    assert (code, "--root" in errors) == (2, True)
    mended = tmp_path / "mended.toml"
    mended.write_text(small_run.config.read_text().replace("epochs = 3", "epochs = 1"))
    run(*words, "--config", str(mended))
    code, errors = run_here(*words, "--config", str(small_run.config))
    assert (code, "holds a run with another config" in errors) == (2, True)


@pytest.mark.parametrize(
    ("name", "command_words", "code", "words"),
    [
        ("stage_one/cnn.safetensors", ("extract-features",), 6, "cnn.safetensors: damaged"),
        ("stage_two/lstm.safetensors", ("evaluate",), 6, "lstm.safetensors: damaged"),
        ("features/pca.safetensors", ("train-lstm",), 6, "pca.safetensors: no usable PCA"),
        ("run.json", ("evaluate",), 2, "run.json: damaged"),
        ("config.json", ("evaluate",), 2, "config.json: not"),
    ],
)
def test_a_damaged_file_of_a_run_is_one_line_with_the_way_out(
    small_run, tmp_path: Path, name: str, command_words: tuple[str, ...], code: int, words: str
) -> None:
    folder = copied(small_run, tmp_path / "run")
    path = folder / name
    path.write_bytes(b"\xff" + path.read_bytes()[: path.stat().st_size // 2])
    found, errors = run_here(*command_words, "--run", str(folder), "--jobs", "1")
    assert found == code, errors
    assert words in errors
    assert len([line for line in errors.splitlines() if line.startswith("error: ")]) == 1
    assert "Traceback" not in errors


def test_evaluate_leaves_out_a_training_slice_that_cannot_be_read(small_run, tmp_path: Path) -> None:
    root = tmp_path / "cohort"
    shutil.copytree(small_run.cohort, root)
    folder = copied(small_run, tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    record["steps"]["index"]["root"] = str(root)
    del record["sha256"]  # changed on purpose
    (folder / "run.json").write_text(json.dumps(record))
    table = pd.read_parquet(folder / "table.parquet")
    before = json.loads((folder / "evaluation" / "evaluation.json").read_text())
    training, held_out = (root / table.loc[table["split"] == name, "path"].iloc[0] for name in ("stage_one", "test"))
    training.write_bytes(training.read_bytes()[:-500])
    run("evaluate", "--run", str(folder), "--jobs", "1")
    after = json.loads((folder / "evaluation" / "evaluation.json").read_text())
    assert before["by_slice"]["count"] == after["by_slice"]["count"]
    held_out.write_bytes(held_out.read_bytes()[:-500])
    code, errors = run_here("evaluate", "--run", str(folder), "--jobs", "1")
    assert (code, f"{held_out.relative_to(root).as_posix()}: cannot be read any more" in errors) == (3, True)


def test_the_demo_refuses_a_folder_with_other_scans_and_two_configs(small_run, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    shutil.copytree(small_run.cohort, folder / "cohort")
    code, errors = run_here("demo", "--quick", "--run", str(folder))
    assert (code, "holds a demo with other synthetic scans; choose another folder with --run" in errors) == (2, True)
    code, errors = run_here("demo", "--quick", "--config", "demo", "--run", str(folder))
    assert (code, "not both" in errors) == (2, True)


def test_what_the_phantom_prints_as_next_step_can_be_run(small_run, tmp_path: Path) -> None:
    out = tmp_path / "ph"
    words = ["phantom", "--studies", "3", "--slices", "4", "--matrix", "256", "--jobs", "1", "--out", str(out)]
    printed = subprocess.run(command(*words), capture_output=True, text=True, check=True).stdout
    (following,) = [line.removeprefix("Next: ichseq ") for line in printed.splitlines() if line.startswith("Next: ")]
    run(*following.split(), "--jobs", "1")
    assert (out / "slices.parquet").exists()
    assert json.loads((out / "slices.split.json").read_text())["rule"] == "by patient"


def test_a_table_that_leaks_or_has_labels_of_scans_only_is_not_trained_on(small_run, tmp_path: Path) -> None:
    table = pd.read_parquet(small_run.table)
    words = ["train-cnn", "--config", str(small_run.config), "--run", str(tmp_path / "run"), "--jobs", "1"]
    leaking = table.copy()
    leaking.loc[leaking.index[0], "split"] = "test" if table["split"].iloc[0] != "test" else "stage_one"
    leaking.to_parquet(tmp_path / "leaking.parquet", index=False)
    code, errors = run_here(*words, "--table", str(tmp_path / "leaking.parquet"), "--root", str(small_run.cohort))
    assert (code, "E-LEAK: 1 patients in more than one split" in errors) == (3, True)
    table.assign(labelled="scan").astype({"labelled": table["labelled"].dtype}).to_parquet(
        tmp_path / "scans.parquet", index=False
    )
    code, errors = run_here(*words, "--table", str(tmp_path / "scans.parquet"), "--root", str(small_run.cohort))
    assert (code, "are of whole scans" in errors) == (3, True)
    assert not (tmp_path / "run").exists()
