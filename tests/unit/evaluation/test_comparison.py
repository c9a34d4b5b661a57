"""Evaluations side by side: figures as each has them, paired differences where the slices are the same, and what is refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from ich_seq.cli import main
from ich_seq.config import load_config
from ich_seq.errors import DatasetError, UsageError
from ich_seq.evaluation.comparison import compare, read_entry
from ich_seq.evaluation.data import STAGE_ONE, STAGE_TWO, EvaluationInput
from ich_seq.evaluation.evaluate import evaluate
from ich_seq.evaluation.floors import PREVALENCE
from ich_seq.evaluation.result import About
from ich_seq.evaluation.run_cost import reading_ms, training_seconds
from ich_seq.labels import LABEL_NAMES
from ich_seq.report.comparison_page import comparison_markdown
from ich_seq.report.evaluation_parts import shown
from ich_seq.training.log import MetricsLog
from ich_seq.training.run import start_run

N, PATIENTS = 600, 60


def scored(noise: float, seed: int = 0, patients: int = PATIENTS) -> EvaluationInput:
    """Stage one sees the truth through twice the noise of stage two; the truth and the patients do not depend on the seed."""
    truth = np.random.default_rng(99).random((N, 6)) < 0.3
    truth[:, 5] = truth[:, :5].any(axis=1)
    rng = np.random.default_rng(seed)
    one, two = (
        1 / (1 + np.exp(-(4 * (truth - 0.5) + factor * noise * rng.standard_normal((N, 6))))) for factor in (2, 1)
    )
    patient = np.array([f"P{k % patients:03d}" for k in range(N)])
    scans = np.array([f"S{k % PATIENTS:03d}" for k in range(N)])
    floor = np.repeat(truth.mean(axis=0, keepdims=True), N, axis=0)
    return EvaluationInput(patient, scans, truth.astype(int), one, two, {PREVALENCE: floor}, thresholds=None)


def write(folder: Path, data: EvaluationInput, model: str = "burduja2020", dataset: str = "rsna2019") -> Path:
    about = About(
        model=model,
        model_digest=None,
        dataset=dataset,
        measured_on="Held-out patients.",
        external=False,
        training_patients=False,
    )
    folder.mkdir()
    evaluation = evaluate(data, rounds=50).model_copy(update={"about": about})
    (folder / "evaluation.json").write_text(json.dumps(evaluation.model_dump(mode="json")))
    table = pd.DataFrame(
        {
            "patient": pd.Series(data.patient_ids).rank(method="dense").astype(int),
            "series_instance_uid": data.scan_ids,
            "sop_instance_uid": [f"ID_{k:04d}" for k in range(len(data.labels))],
            "position_mm": 0.0,
        }
    )
    for prefix, values in (("", data.labels), ("one_", data.stage_one), ("two_", data.stage_two)):
        table[[f"{prefix}{name}" for name in LABEL_NAMES]] = values
    table.sample(frac=1, random_state=0).to_csv(folder / "scores.csv", index=False)
    return folder


def test_figures_are_each_evaluations_own_and_differences_are_paired(tmp_path: Path) -> None:
    worse, better = scored(1.0, seed=1), scored(0.6, seed=2)
    entries = [read_entry(write(tmp_path / name, data)) for name, data in (("a", worse), ("b", better))]
    found = compare(entries, rounds=200)
    assert found.same_slices
    assert [(each.entry, each.system) for each in found.systems] == [
        (name, stage) for name in "ab" for stage in (STAGE_ONE, STAGE_TWO)
    ]
    for place, (entry, data) in enumerate(zip(entries, (worse, better), strict=True)):
        assert entry.evaluation.by_slice is not None
        level = entry.evaluation.by_slice
        wanted = {each.system: each for each in level.systems}
        for each in found.systems[2 * place : 2 * place + 2]:
            assert each.auc[-1] == wanted[each.system].labels[-1].auc
            assert each.learnt
        assert data.labels.sum() == sum(count.positives for count in level.counts)
    gain = found.systems[3].auc_difference
    assert gain is not None
    assert gain.value == pytest.approx((found.systems[3].auc[-1].value or 0) - (found.systems[1].auc[-1].value or 0))
    assert gain.low is not None
    assert gain.low > 0
    assert found.systems[1].auc_difference is None


def test_a_system_no_better_than_the_prevalence_did_not_learn(tmp_path: Path) -> None:
    blind = scored(1.0)
    blind = dataclasses.replace(blind, stage_one=blind.floors[PREVALENCE], stage_two=scored(50.0).stage_two)
    found = compare([read_entry(write(tmp_path / "a", scored(1.0))), read_entry(write(tmp_path / "b", blind))])
    assert [each.learnt for each in found.systems] == [True, True, False, False]


@pytest.mark.parametrize("change", ["slices", "patients", "truth"])
def test_without_the_same_slices_there_is_no_difference(tmp_path: Path, change: str) -> None:
    other = {
        "slices": scored(1.0).where(np.arange(N) > 50),
        "patients": scored(1.0, patients=30),
        "truth": dataclasses.replace(scored(1.0), labels=np.roll(scored(1.0).labels, 1, axis=0)),
    }[change]
    found = compare([read_entry(write(tmp_path / "a", scored(1.0))), read_entry(write(tmp_path / "b", other))])
    assert not found.same_slices
    assert all(each.auc_difference is each.loss_difference is None for each in found.systems)


def test_labels_of_whole_scans_are_compared_by_scan_and_not_with_slices(tmp_path: Path) -> None:
    whole = dataclasses.replace(scored(1.0), whole_scans=True)
    entries = [
        read_entry(write(tmp_path / name, data)) for name, data in (("a", whole), ("b", whole), ("c", scored(1.0)))
    ]
    assert compare(entries[:2]).level == "scan"
    with pytest.raises(DatasetError, match="some are measured by slice and others by whole scan"):
        compare(entries)


def test_one_page_one_table_and_values_are_written(tmp_path: Path) -> None:
    folders = [write(tmp_path / name, scored(noise)) for name, noise in (("wide|<b>", 1.0), ("narrow", 1.5))]
    done = CliRunner().invoke(main, ["compare", *map(str, folders), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "wide|&lt;b&gt;" in page
    assert "<b>" not in page.split("<h1>")[1]
    table = (tmp_path / "out" / "comparison.md").read_text()
    assert "| wide\\|&lt;b> | stage one |" in table
    assert "Burduja" in table, "what the config's paper printed"
    assert "its split is by series" in table
    values = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [each["entry"] for each in values["systems"]] == ["wide|<b>"] * 2 + ["narrow"] * 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda folder: (folder / "evaluation.json").unlink(), r"no evaluation\.json here; give a run"),
        (lambda folder: (folder / "evaluation.json").write_text("{}"), "not an evaluation of this version"),
        (lambda folder: (folder / "evaluation.json").write_text("{"), "not an evaluation of this version"),
        (lambda folder: (folder / "scores.csv").unlink(), r"scores\.csv: missing; run `ichseq evaluate` again"),
        (lambda folder: (folder / "scores.csv").write_text("a,b\n1,2\n"), "has no column patient"),
        (lambda folder: respell(folder / "scores.csv", "two_any", 1.5), "is no number from 0 to 1"),
        (lambda folder: respell(folder / "scores.csv", "two_any", "x"), "is no number from 0 to 1"),
        (lambda folder: respell(folder / "scores.csv", "any", None), "is no number from 0 to 1"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, fault, said: str) -> None:
    folder = write(tmp_path / "a", scored(1.0))
    fault(folder)
    with pytest.raises((UsageError, DatasetError), match=said) as caught:
        read_entry(folder)
    assert str(folder) in caught.value.message


def respell(path: Path, column: str, value: object) -> None:
    table = pd.read_csv(path).astype({column: object})
    table.loc[3, column] = value
    table.to_csv(path, index=False)


def test_two_are_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two runs or evaluations at least"):
        compare([read_entry(write(tmp_path / "a", scored(1.0)))])


@pytest.mark.parametrize(
    ("model", "printed"),
    [
        ("lee2019_sigmoid", {"F1 any": "0.88", "recall any": "0.96", "precision any": "0.8"}),
        ("lee2019_linear_blood", {"F1 any": "0.22", "recall any": "0.41", "precision any": "0.15"}),
        ("kumar2021", {"accuracy any": "0.68"}),
        ("lussier", {"verdict": "did not learn"}),
        (
            "asip2022_densenet_asip_optimised",
            {
                "accuracy any": "0.906",
                "F1 any": "0.552",
                "recall any": "0.396",
                "precision any": "0.91",
                "AUC any": "0.695",
            },
        ),
        ("kumar2021_positives", {}),
    ],
)
def test_each_row_stands_beside_what_its_paper_printed_at_a_threshold(
    tmp_path: Path, model: str, printed: dict
) -> None:
    """As table 2 of paper 000, paper 002's text and table 7 of paper 004 have it; ours is stage one's, the paper's own system."""
    first, second = (write(tmp_path / name, scored(1.0, seed=1), own) for name, own in (("a", model), ("b", "own")))
    found = compare([read_entry(first), read_entry(second)], rounds=20)
    lines = comparison_markdown(found).partition("## In print")[2].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| a |")]
    assert {row[3]: row[4] for row in rows} == printed
    assert all(row[2] == STAGE_ONE and row[-1] for row in rows)
    if "AUC any" in printed:
        assert [row[5] for row in rows if row[3] == "AUC any"] == [shown(found.systems[0].auc[-1])]


def test_of_other_data_another_size_or_start_the_reason_says_so_first(tmp_path: Path) -> None:
    run = write(tmp_path / "run", scored(1.0), dataset="phantom")
    config = load_config("burduja2020")
    small = config.preprocess.model_copy(update={"size": 64})
    start_run(
        run, config.model_copy(update={"preprocess": small, "cnn": config.cnn.model_copy(update={"weights": "none"})})
    )
    found = compare([read_entry(run), read_entry(write(tmp_path / "rsna", scored(1.0)))], rounds=20)
    lines = comparison_markdown(found).partition("## In print")[2].splitlines()
    why = {
        name: {line.strip("| ").split(" | ")[-1] for line in lines if line.startswith(f"| {name} |")}
        for name in ("run", "rsna")
    }
    ours = "Not comparable: ours is on phantom, not RSNA 2019, at 64 px, not 256, from random weights. In print: "
    assert why["run"] == {ours + each for each in why["rsna"]}
    assert all(each.startswith(("Not strictly", "Only through")) for each in why["rsna"])


def test_times_are_whole_or_a_dash_whatever_interrupted_the_run(tmp_path: Path) -> None:
    """Seconds of training are those of the epochs' steps, an epoch once; of reading those of one call that read everything."""
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for epoch, seconds in ((0, 3.0), (0, 4.0), (1, 5.0)):
        log.append({"epoch": epoch, "train_seconds": seconds})
    assert training_seconds(tmp_path) == 9
    assert reading_ms({"seconds": 2.0, "slices": 100}) == 20
    assert reading_ms({"seconds": 2.0, "slices": 100, "series_from_before": 0}) == 20
    assert reading_ms({"seconds": 0.1, "slices": 100, "series_from_before": 3}) is None
    assert reading_ms({}) is None
