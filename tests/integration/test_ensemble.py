"""`ichseq ensemble` by the command itself: what it makes, that it goes on, whom it refuses; and commands that take what it makes."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from tiny_ensemble import WITH_NEIGHBOURS
from tiny_model import TRAINED_ON, write_tiny_model

from ich_seq.cli import main
from ich_seq.evaluation.external import score_rows
from ich_seq.evaluation.overlap import rows_for_all
from ich_seq.evaluation.scoring import ScoreStore, score_series
from ich_seq.files import sha256_of
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.table import read_table
from ich_seq.metrics import weighted_log_loss
from ich_seq.model.bundle import read_info
from ich_seq.model.ensemble import read_ensemble_info
from ich_seq.study.model import load_model


def ichseq(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def made_of(*words: object) -> Result:
    done = ichseq("ensemble", *words, "--jobs", 1)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def tiny(small_run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside the run a model that says it was trained with the same table, and reads neighbours."""
    folder = tmp_path_factory.mktemp("tiny") / "tiny"
    taught = TRAINED_ON.model_copy(update={"table_sha256": sha256_of(small_run.table), "dataset": "phantom"})
    write_tiny_model(folder, preprocess=WITH_NEIGHBOURS, name="tiny", trained_on=taught)
    return folder


@pytest.fixture(scope="module")
def searched(small_run, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of an ensemble of the run and the tiny model, the best subset, and what was printed."""
    out = tmp_path_factory.mktemp("searched") / "out"
    done = made_of(
        small_run.folder,
        tiny,
        "--table",
        small_run.table,
        "--out",
        out,
        "--method",
        "weighted",
        "--metric",
        "log_loss",
        "--search",
    )
    return out, done.output


def member_scores(out: Path) -> dict[str, list[np.ndarray]]:
    """What was kept of each member, series by series."""
    found = {}
    for path in (out / "scored").iterdir():
        owner, *lines = [json.loads(line) for line in path.read_text().splitlines()]
        found[owner["model"]] = [np.array(line["two"]) for line in sorted(lines, key=lambda line: line["series"])]
    return found


def test_a_search_keeps_the_best_subset_and_says_how_much_of_it_is_luck(
    small_run, tiny: Path, searched: tuple[Path, str]
) -> None:
    out, said = searched
    info, choice = read_ensemble_info(out / "model"), json.loads((out / "choice.json").read_text())
    assert info.search is not None
    assert (info.search.subsets, len(choice["subsets"])) == (3, 3)
    assert info.search.tried == ("1 small", "2 tiny")
    assert info.search.loss == min(each["loss"] for each in choice["subsets"]) == choice["subsets"][0]["loss"]
    best = choice["subsets"][0]["members"]
    models = read_info(small_run.folder / "model"), read_info(tiny)
    assert [each.digest() for each in info.members] == [models[number - 1].digest() for number in best]
    card, page = (out / "model" / "README.md").read_text(), (out / "choice.md").read_text()
    for text in (card, page, " ".join(said.split())):
        assert "of 3 subsets" in text
        assert f"p = {info.search.p_value:.3f} (White's reality check, 1000 resamples of patients)" in text
        assert f"has a loss of {info.search.loss_elsewhere:.4f} on the last tenth" in text
    assert f"ichseq score-study DIR_OR_ZIP --model {out / 'model'}" in said
    assert info.unseen


def test_the_figures_are_those_of_the_members_scores_on_validation_patients(
    small_run, tiny: Path, searched: tuple[Path, str]
) -> None:
    out, _ = searched
    table = pd.read_parquet(small_run.table)
    rows = table[table["split"] == "validation"].sort_values(["series_instance_uid", "position_mm", "sop_instance_uid"])
    kept = member_scores(out)
    assert len(kept) == 2
    info, choice = read_ensemble_info(out / "model"), json.loads((out / "choice.json").read_text())
    assert (info.chosen_on.patients, info.chosen_on.slices) == (rows["patient_id"].nunique(), len(rows))
    series_of = {
        hashlib.sha256("\n".join(series["sop_instance_uid"]).encode()).hexdigest(): series
        for _, series in rows.groupby("series_instance_uid")
    }
    truth = np.concatenate([series_of[key][list(LABEL_NAMES)].to_numpy() for key in sorted(series_of)])
    for figures, model in zip(choice["figures"], (small_run.folder / "model", tiny), strict=False):
        said = np.concatenate(kept[read_info(model).digest()])
        assert figures["slice_loss"] == pytest.approx(weighted_log_loss(truth, said))


def test_a_second_ensemble_of_the_same_models_scores_nothing_again(
    small_run, tiny: Path, searched: tuple[Path, str], tmp_path: Path, monkeypatch
) -> None:
    from ich_seq.evaluation import scoring

    out = Path(shutil.copytree(searched[0], tmp_path / "out"))
    before = {path.name: path.read_bytes() for path in (out / "scored").iterdir()}
    scored: list[str] = []

    def counted(_model, rows, *_rest):
        scored.append(rows["series_instance_uid"].iloc[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(scoring, "score_series", counted)
    words = (small_run.folder, tiny, "--table", small_run.table, "--out", out)
    made_of(*words, "--method", "vote", "--level", "scan", "--name", "both")
    assert scored == []
    assert {path.name: path.read_bytes() for path in (out / "scored").iterdir()} == before
    info = read_ensemble_info(out / "model")
    assert (info.name, info.stage_two.method, info.stage_two.chosen_on, len(info.members)) == (
        "both",
        "vote",
        "scan",
        2,
    )
    assert info.stage_two.thresholds is not None
    scans = [[each.max(axis=0) for each in member_scores(out)[member.digest()]] for member in info.members]
    for member, thresholds in zip(scans, info.stage_two.thresholds, strict=True):
        for label, threshold in enumerate(thresholds):
            assert threshold in {scan[label] for scan in member} | {0.5}, "to the last bit"
    first = next(iter((out / "scored").iterdir()))
    first.write_text("\n".join(first.read_text().splitlines()[:2]) + "\n")
    assert ichseq("ensemble", *words, "--jobs", 1).exit_code == 130, "what is missing is scored"
    assert len(scored) == 1


@pytest.fixture(scope="module")
def both(small_run, tiny: Path, searched: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of an ensemble of both models by their mean, not calibrated."""
    out = tmp_path_factory.mktemp("both") / "out"
    shutil.copytree(searched[0] / "scored", out / "scored")
    made_of(small_run.folder, tiny, "--table", small_run.table, "--out", out, "--calibration", "none", "--quiet")
    return out / "model"


def score_one(small_run, both: Path, out: Path) -> tuple[Result, dict]:
    """A held-out scan by `score-study`, and its result."""
    held_out = pd.read_parquet(small_run.table).query("split == 'test'")
    one = held_out[held_out["series_instance_uid"] == held_out["series_instance_uid"].iloc[0]]
    images = [small_run.cohort / path for path in one["path"]]
    done = ichseq("score-study", *images, "--model", both, "--out", out, "--jobs", 1)
    assert done.exit_code == 0, done.output
    return done, json.loads((out / "result.json").read_text())


def test_the_ensemble_is_scored_and_inspected_like_a_model(small_run, both: Path, tmp_path: Path) -> None:
    done, result = score_one(small_run, both, tmp_path / "scan")
    assert "Ensemble of 2 by average: small, tiny" in done.output
    page = (tmp_path / "scan" / "report.html").read_text()
    assert "is an ensemble: 2 models read every slice and their probabilities are combined by a mean" in page
    assert "48 × 48 pixels; windows 40/80 HU; with 1 slice on either side; computed by torch in fp32" in page
    assert [each["name"] for each in result["model"]["members"]] == ["small", "tiny"]
    done = ichseq("inspect", both)
    assert done.exit_code == 0, done.output
    assert "an ensemble of 2 named ensemble, whole and unchanged" in " ".join(done.output.split())
    done = ichseq("export", "--model", both)
    assert (done.exit_code, "an ensemble, and one model is needed here" in done.output) == (6, True)


@pytest.mark.campaign  # two commands with pages, intervals and figures: 10 s of one core
def test_the_ensemble_is_evaluated_and_compared_like_a_model(small_run, both: Path, tmp_path: Path) -> None:
    _, result = score_one(small_run, both, tmp_path / "scan")
    words = ("--table", small_run.table, "--jobs", 1, "--quiet")
    done = ichseq("evaluate", "--model", both, "--out", tmp_path / "evaluated", *words)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "evaluated" / "evaluation.json").read_text())
    assert found["about"]["measured_on"] == "Held-out patients of the table that the model was trained with."
    assert found["about"]["model_digest"] == read_ensemble_info(both).digest()
    scores = pd.read_csv(tmp_path / "evaluated" / "scores.csv").set_index("sop_instance_uid")
    for each in result["slices"]:
        assert scores["two_any"][each["sop_instance_uid"]] == pytest.approx(each["stage_two"]["any"], abs=1e-6)
    assert "## Evaluation on held-out patients: phantom" in (both / "README.md").read_text()
    done = ichseq("compare", small_run.folder, tmp_path / "evaluated", "--out", tmp_path / "compared")
    assert done.exit_code == 0, done.output
    assert "Not measured on the same slices" not in done.output


def test_its_scores_on_a_table_are_what_evaluate_rests_on(small_run, both: Path, tmp_path: Path) -> None:
    """The held-out rows as `evaluate --model` scores them, against the members' own scores of the same rows."""
    table = read_table(small_run.table)
    info, rows = read_ensemble_info(both), table[table["split"] == "test"]
    scope = rows_for_all([(each, None) for each in info.taught_by], table, sha256_of(small_run.table), False)
    assert scope.rows.equals(rows)
    store = ScoreStore(tmp_path / "scored.jsonl", info.digest())
    one_series = rows[rows["series_instance_uid"] == rows["series_instance_uid"].iloc[0]]
    scored = score_rows(load_model(both), one_series, small_run.cohort, store).scores
    ordered = one_series.sort_values(["position_mm", "sop_instance_uid"])
    said = [score_series(load_model(both / "members" / number), ordered, small_run.cohort) for number in ("01", "02")]
    found = scored[[f"two_{name}" for name in LABEL_NAMES]].to_numpy()
    np.testing.assert_allclose(found, (said[0].stage_two + said[1].stage_two) / 2, atol=1e-7)  # float32


def test_validation_patients_who_taught_a_member_are_refused_unless_it_is_allowed_and_then_said(
    small_run, tiny: Path, tmp_path: Path
) -> None:
    """A member was trained on another split of the same patients."""
    table = pd.read_parquet(small_run.table)
    moved = {"validation": "stage_one", "stage_one": "validation"}
    other = tmp_path / "run" / "table.parquet"
    other.parent.mkdir()
    table.assign(split=table["split"].map(lambda name: moved.get(name, name)).astype("str")).to_parquet(
        other, index=False
    )
    taught = TRAINED_ON.model_copy(update={"table_sha256": sha256_of(other), "dataset": "phantom"})
    write_tiny_model(tmp_path / "run" / "model", name="elsewhere", trained_on=taught)
    model = Path(shutil.copytree(tmp_path / "run" / "model", tmp_path / "moved"))
    words = ("--table", small_run.table, "--out", tmp_path / "out", "--jobs", 1, "--quiet")
    done = ichseq("ensemble", tiny, tmp_path / "run" / "model", *words)
    assert (done.exit_code, f"validation patients taught {tmp_path / 'run' / 'model'}" in done.output) == (3, True)
    done = ichseq("ensemble", tiny, model, *words)
    assert (done.exit_code, "cannot be told; name the table" in done.output) == (3, True)
    done = ichseq("ensemble", tiny, model, *words, "--training-table", other)
    assert (done.exit_code, f"validation patients taught {model}" in done.output) == (3, True)
    done = ichseq(
        "ensemble",
        tiny,
        model,
        *words,
        "--training-table",
        tmp_path / "run" / "table.parquet",
        "--training-table",
        __file__,
    )
    assert (done.exit_code, "not the table that the model was trained with" in done.output) == (2, True)
    assert not (tmp_path / "out").exists()
    done = ichseq("ensemble", tiny, model, *words, "--allow-training-patients")
    assert done.exit_code == 0, done.output
    assert not read_ensemble_info(tmp_path / "out" / "model").unseen
    assert "SOME OF THEM TAUGHT A MEMBER" in (tmp_path / "out" / "model" / "README.md").read_text()
    done = ichseq(
        "evaluate", "--model", tmp_path / "out" / "model", "--table", small_run.table, "--out", tmp_path / "ev"
    )
    assert (done.exit_code, "whether patients are on both sides cannot be told" in done.output) == (3, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--method", "weighted"), "--metric goes with --method weighted"),
        (("--metric", "auc"), "--metric goes with --method weighted"),
        (("--search",), "--search needs two models"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    small_run, tiny: Path, tmp_path: Path, words: tuple, said: str
) -> None:
    done = ichseq("ensemble", tiny, "--table", small_run.table, "--out", tmp_path / "out", *words)
    assert (done.exit_code, said in done.output) == (2, True)
    assert not (tmp_path / "out").exists()


def test_a_table_without_validation_patients_or_with_labels_of_scans_chooses_nothing(
    small_run, tiny: Path, tmp_path: Path
) -> None:
    table = pd.read_parquet(small_run.table)
    for column, value, said in (
        ("split", "test", "no patients in the split `validation`"),
        ("labelled", "scan", "labels are of whole scans"),
    ):
        table.assign(**{column: pd.Series(value, table.index).astype(table[column].dtype)}).to_parquet(
            tmp_path / "t.parquet"
        )
        done = ichseq("ensemble", tiny, "--table", tmp_path / "t.parquet", "--out", tmp_path / "out")
        assert (done.exit_code, said in done.output) == (3, True), done.output
