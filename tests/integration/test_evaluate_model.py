"""A model on a table by the command itself: what it writes, that it goes on, whom it refuses, and labels of whole scans."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from ich_seq.cli import main
from ich_seq.files import sha256_of
from ich_seq.model.bundle import read_info


def evaluate(*words: object):
    return CliRunner().invoke(main, ["evaluate", *map(str, words), "--jobs", "1", "--quiet"])


@pytest.fixture
def model(small_run, tmp_path: Path) -> Path:
    """The run's model alone, without the run's table beside it."""
    return Path(shutil.copytree(small_run.folder / "model", tmp_path / "away" / "model"))


def relabelled(small_run, path: Path, **columns: str) -> Path:
    """The run's table under another name of dataset or with labels of scans; its own images."""
    table = pd.read_parquet(small_run.table)
    kinds = {name: table[name].dtype for name in columns}
    table.assign(**columns).astype(kinds).to_parquet(path, index=False)
    return path


def test_the_table_that_taught_a_model_gives_what_its_run_found_on_held_out_patients(
    small_run, model: Path, tmp_path: Path
) -> None:
    done = evaluate("--model", model, "--table", small_run.table, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    found, run = (
        json.loads((f / "evaluation.json").read_text()) for f in (tmp_path / "out", small_run.folder / "evaluation")
    )
    assert {"evaluation.html", "evaluation.json", "table.md", "scores.csv"} == {
        p.name for p in (tmp_path / "out").iterdir()
    }
    assert found["by_slice"]["counts"] == run["by_slice"]["counts"]
    assert found["about"]["model_digest"] == run["about"]["model_digest"] == read_info(model).digest()
    for theirs, ours in zip(run["by_slice"]["systems"][3:], found["by_slice"]["systems"], strict=True):
        assert theirs["system"] == ours["system"]
        # The run reads float16 embeddings from its cache.
        assert theirs["weighted_log_loss"]["value"] == pytest.approx(ours["weighted_log_loss"]["value"], abs=2e-3)
    assert [each["system"] for each in found["by_slice"]["systems"]] == [
        "stage one",
        "stage two",
        "stage two, calibrated",
    ]
    shipped = {point.score for point in read_info(model).thresholds.points}
    assert {point["threshold"] for point in found["by_slice"]["operating_points"]} <= shipped
    card = (model / "README.md").read_text()
    assert card.count("## Evaluation on held-out patients: phantom") == 1, "the run's section is replaced"


def test_an_interrupted_evaluation_goes_on_to_the_same_figures(
    small_run, model: Path, tmp_path: Path, monkeypatch
) -> None:
    from ich_seq.evaluation import scoring

    words = ("--model", model, "--table", small_run.table, "--out")
    assert evaluate(*words, tmp_path / "whole").exit_code == 0
    scored: list[str] = []
    real = scoring.score_series

    def dies_in_the_second(model, rows, *rest):
        scored.append(rows["series_instance_uid"].iloc[0])
        if len(scored) == 2:
            raise KeyboardInterrupt
        return real(model, rows, *rest)

    monkeypatch.setattr(scoring, "score_series", dies_in_the_second)
    assert evaluate(*words, tmp_path / "out").exit_code == 130
    assert not (tmp_path / "out" / "evaluation.json").exists()
    assert evaluate(*words, tmp_path / "out").exit_code == 0
    assert len(scored) == len(set(scored)) + 1, "only the interrupted series was scored twice"
    for name in ("evaluation.json", "scores.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_labels_of_whole_scans_of_another_dataset_are_counted_by_scan_and_patient(
    small_run, model: Path, tmp_path: Path
) -> None:
    table = relabelled(small_run, tmp_path / "scans.parquet", dataset="own", labelled="scan")
    before = sha256_of(model / "model.json")
    done = evaluate("--model", model, "--table", table, "--root", small_run.cohort, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert found["by_slice"] is None
    assert found["by_scan"]["count"] == 12
    assert found["about"]["external"]
    assert not found["about"]["training_patients"]
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "nothing is counted by slice" in page
    assert "ROC, scans" in page
    assert page.count("data:image/png") == 3 + len(found["mistakes"])
    assert "## Evaluation on another table: own" in (model / "README.md").read_text()
    assert sha256_of(model / "model.json") == before


def test_another_table_of_the_same_dataset_is_refused_unless_it_is_allowed_and_then_marked(
    small_run, model: Path, tmp_path: Path
) -> None:
    table = relabelled(small_run, tmp_path / "split_again.parquet", split="test")
    words = ("--model", model, "--table", table, "--root", small_run.cohort, "--out", tmp_path / "out")
    done = evaluate(*words)
    assert (done.exit_code, "name the table that it was trained with by --training-table" in done.stderr) == (3, True)
    done = evaluate(*words, "--training-table", small_run.table)
    assert (done.exit_code, "patients taught the model" in done.stderr) == (3, True)
    done = evaluate(*words, "--training-table", table)
    assert (done.exit_code, "not the table that the model was trained with" in done.stderr) == (2, True)
    beside = ("--model", small_run.folder / "model", *words[2:])
    done = evaluate(*beside)
    assert (done.exit_code, "patients taught the model" in done.stderr) == (3, True), "the run's own table is found"
    assert not (tmp_path / "out").exists()
    assert evaluate(*words, "--training-table", small_run.table, "--allow-training-patients").exit_code == 0
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["about"]["training_patients"]
    for text in ("evaluation.html", "table.md"):
        assert "NOT HELD OUT" in (tmp_path / "out" / text).read_text()
    assert "## Evaluation on patients that taught the model" in (model / "README.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give either --run RUN"),
        (("--run", "r", "--model", "m"), "not both"),
        (("--model", "m"), "--model needs --table and --out too"),
        (("--run", "r", "--out", "o"), "--out belongs to --model"),
        (("--run", "r", "--allow-training-patients"), "--allow-training-patients belongs to --model"),
    ],
)
def test_exactly_one_of_the_two_forms_is_asked_for(words: tuple[str, ...], message: str) -> None:
    done = evaluate(*words)
    assert (done.exit_code, message in done.stderr) == (2, True)


def test_a_run_has_calibration_thresholds_and_a_card_with_figures(small_run) -> None:
    info = read_info(small_run.folder / "model")
    assert info.calibration is not None
    assert info.calibration.method == "temperature"
    assert info.thresholds is not None
    assert info.thresholds.find("scan", "any") is not None
    card = (small_run.folder / "model" / "README.md").read_text()
    assert "## Evaluation on held-out patients: phantom" in card
    found = json.loads((small_run.folder / "evaluation" / "evaluation.json").read_text())
    assert {each["attribute"] for each in found["subgroups"]} >= {"slice spacing", "tilt of the slices", "pixel format"}
    assert found["mistakes"]
