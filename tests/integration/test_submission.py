"""Kaggle's submission file: its rows, its order, its refusals, and that a killed call goes on."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from dicom_factory import make_series
from tiny_model import load_tiny_model, write_tiny_model

import ich_seq
from ich_seq.cli import main
from ich_seq.labels import LABEL_NAMES


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two series of six slices in the layout of the challenge, their files in random order."""
    torch.set_num_threads(1)
    base = tmp_path / "rsna"
    (base / "stage_2_test").mkdir(parents=True)
    names = []
    for seed in ("a", "b"):
        for number, path in enumerate(make_series(tmp_path / seed, slices=6, uid_seed=seed)):
            names.append(f"ID_{seed}{(7 * number) % 11:08x}")
            shutil.copy(path, base / "stage_2_test" / f"{names[-1]}.dcm")
    rng = np.random.default_rng(1)
    rows = [f"{name}_{label},0.5" for name in rng.permutation(names) for label in LABEL_NAMES]
    (base / "stage_2_sample_submission.csv").write_text("\n".join(["ID,Label", *rows]) + "\n")
    write_tiny_model(tmp_path / "model")
    return base


def submit(root: Path, *more: str):
    words = ["submit", "--root", str(root), "--model", str(root.parent / "model"), "--jobs", "1", "--quiet"]
    return CliRunner().invoke(main, [*words, "--out", str(root.parent / "submission.csv"), *more])


def test_every_row_of_the_sample_is_answered_in_its_order_with_what_score_study_says(root: Path) -> None:
    done = submit(root)
    assert done.exit_code == 0, done.output
    found, sample = (
        pd.read_csv(path) for path in (root.parent / "submission.csv", root / "stage_2_sample_submission.csv")
    )
    assert found["ID"].tolist() == sample["ID"].tolist()
    result = ich_seq.score_study(root.parent / "a", load_tiny_model(root.parent / "model"))
    expected = {}
    for number, score in enumerate(result.slices):
        for label in LABEL_NAMES:
            expected[f"ID_a{(7 * number) % 11:08x}_{label}"] = score.stage_two.of(label)
    of_a = found[found["ID"].isin(expected)].set_index("ID")["Label"]
    assert len(of_a) == 36
    np.testing.assert_allclose(of_a, [expected[name] for name in of_a.index], atol=2e-6)  # six decimals, other batches
    assert sorted(path.name for path in root.parent.glob("submission*")) == ["submission.csv"]


def test_an_interrupted_submission_goes_on_with_the_series_that_were_done(root: Path, monkeypatch) -> None:
    from ich_seq.evaluation import scoring

    whole = submit(root)
    assert whole.exit_code == 0
    expected = (root.parent / "submission.csv").read_bytes()
    (root.parent / "submission.csv").unlink()
    scored: list[str] = []
    real = scoring.score_series

    def dies_in_the_second(model, rows, *rest):
        scored.append(rows["series_instance_uid"].iloc[0])
        if len(scored) == 2:
            raise KeyboardInterrupt
        return real(model, rows, *rest)

    monkeypatch.setattr(scoring, "score_series", dies_in_the_second)
    assert submit(root).exit_code == 130
    store = root.parent / "submission.csv.scored.jsonl"
    store.write_bytes(store.read_bytes() + b'{"series": "cut sho')
    assert submit(root).exit_code == 0
    assert len(scored) == 3, "the first series was not scored again"
    assert (root.parent / "submission.csv").read_bytes() == expected


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("image missing", "E-LABEL-WITHOUT-IMAGE: 1 images of the sample"),
        ("image too many", "E-IMAGE-WITHOUT-LABEL: 1 images on disk"),
        ("row missing", "E-LABEL-INCOMPLETE: 1 images"),
        ("row twice", "E-LABEL-CONFLICT: 1 rows"),
        ("image truncated", "1 images cannot be read"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused_before_anything_is_scored(root: Path, fault: str, words: str) -> None:
    image = next((root / "stage_2_test").iterdir())
    sample = root / "stage_2_sample_submission.csv"
    lines = sample.read_text().splitlines()
    if fault == "image missing":
        image.unlink()
    elif fault == "image truncated":
        image.write_bytes(image.read_bytes()[:-200])
    elif fault == "image too many":
        shutil.copy(make_series(root.parent / "c", slices=1, uid_seed="c")[0], root / "stage_2_test" / "ID_c.dcm")
    else:
        sample.write_text("\n".join(lines[:-1] if fault == "row missing" else [*lines, lines[1]]) + "\n")
    done = submit(root)
    assert done.exit_code == 3
    assert words in done.stderr
    assert not (root.parent / "submission.csv").exists()
