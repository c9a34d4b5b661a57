"""Finished rows of the papers' table without training: a truth, and classifiers that see it through noise."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from ich_seq.distrust import sealed
from ich_seq.evaluation.data import EvaluationInput
from ich_seq.evaluation.evaluate import evaluate
from ich_seq.evaluation.finished_rows import FACTS_FILE, VALIDATION_FILE, FinishedRow, RowFacts, read_row
from ich_seq.evaluation.floors import PREVALENCE
from ich_seq.evaluation.result import About
from ich_seq.labels import LABEL_NAMES

N, PATIENTS, PREVALENT = 320, 40, 0.25


def truth_of(split: str) -> np.ndarray:
    """The labels of a split's slices, the same for every row."""
    truth = np.random.default_rng({"test": 1, "validation": 2}[split]).random((N, 6)) < PREVALENT / 3
    truth[:, 5] = truth[:, :5].any(axis=1)
    return truth.astype(int)


def seen(truth: np.ndarray, noise: float, bias: float, seed: int) -> np.ndarray:
    """What a classifier says that sees the truth through so much noise; `bias` is what balanced batches add to its logit."""
    rng = np.random.default_rng(seed)
    return 1 / (1 + np.exp(-(3 * (truth - 0.5) + noise * rng.standard_normal(truth.shape) + bias)))


def write_row(folder: Path, one: float, two: float, bias: float = 0.0, seed: int = 0) -> Path:
    """A run's folder with what a finished row leaves, its stages seeing through noise `one` and `two`."""
    tables = {}
    for place, split in enumerate(("test", "validation")):
        truth = truth_of(split)
        stages = [seen(truth, noise, bias, 10 * seed + 2 * place + k) for k, noise in enumerate((one, two))]
        tables[split] = _table(truth, *stages, f"ID_{split}")
    data = EvaluationInput(
        patient_ids=tables["test"]["patient"].to_numpy(),
        scan_ids=tables["test"]["series_instance_uid"].to_numpy(str),
        labels=truth_of("test"),
        stage_one=tables["test"][[f"one_{name}" for name in LABEL_NAMES]].to_numpy(),
        stage_two=tables["test"][[f"two_{name}" for name in LABEL_NAMES]].to_numpy(),
        floors={PREVALENCE: np.tile(truth_of("validation").mean(axis=0), (N, 1))},
    )
    about = About(
        model=folder.name,
        model_digest=None,
        dataset="phantom",
        measured_on="Held-out patients.",
        external=False,
        training_patients=False,
    )
    evaluation = evaluate(data, rounds=20).model_copy(update={"about": about})
    (folder / "evaluation").mkdir(parents=True)
    (folder / "evaluation" / "evaluation.json").write_text(json.dumps(evaluation.model_dump(mode="json")))
    tables["test"].to_csv(folder / "evaluation" / "scores.csv", index=False)
    tables["validation"].to_csv(folder / VALIDATION_FILE, index=False)
    facts = RowFacts(
        config=folder.name,
        method="a network",
        visits=100,
        batch_size=4,
        learning_rate=1e-3,
        weights="none",
        parameters=1000,
        training_ms=2.0 * (1 + seed),
        reading_ms=3.0,
    )
    (folder / FACTS_FILE).write_text(json.dumps(sealed(facts.model_dump(mode="json"))))
    return folder


def rows_of(base: Path, **noise: tuple[float, float]) -> list[FinishedRow]:
    """A row for each name, of stage one and two through so much noise."""
    return [read_row(write_row(base / name, *each, seed=k)) for k, (name, each) in enumerate(noise.items())]


def _table(truth: np.ndarray, one: np.ndarray, two: np.ndarray, prefix: str) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "patient": np.arange(N) % PATIENTS,
            "series_instance_uid": [f"S{k % PATIENTS:03d}" for k in range(N)],
            "sop_instance_uid": [f"{prefix}_{k:04d}" for k in range(N)],
            "position_mm": 0.0,
        }
    )
    for start, values in (("", truth), ("one_", one), ("two_", two)):
        table[[f"{start}{name}" for name in LABEL_NAMES]] = values
    return table
