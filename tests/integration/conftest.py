"""One small synthetic cohort, its table and a finished run, shared by the tests of this folder."""

import fcntl
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from kills import run, run_here

from ich_seq.files import write_json, write_text

CONFIG = """
name = "small"
about = "Small enough to be trained and killed often."
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
ema_decay = 0.9
least_improvement = 0.01
workers = 0
precision = "fp32"
checkpoint_every_s = 0.3
[features]
pca_components = 8
precision = "fp32"
[lstm]
hidden = 8
layers = 1
[train_lstm]
epochs = 2
learning_rate = 1e-3
[calibration]
method = "temperature"
"""
SUBTYPES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
STUDIES, SLICES = 12, 20


@dataclass(frozen=True)
class SmallRun:
    """A cohort, its table, its config, a run left alone, and how long each of its commands took."""

    base: Path
    cohort: Path
    table: Path
    config: Path
    folder: Path
    seconds: dict[str, float]

    def train_cnn(self, folder: Path) -> list[str]:
        """The words of `train-cnn` on one thread, in another run folder."""
        words = ["train-cnn", "--config", str(self.config), "--table", str(self.table), "--run", str(folder)]
        return [*words, "--jobs", "1"]


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> SmallRun:
    """Both stages trained by the commands themselves, from DICOM on disk to a model; made once for all of pytest's processes."""
    base = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        base = base.parent
    with (base / "small.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _small_run(base / "small")


def _small_run(base: Path) -> SmallRun:
    """Made in `base`, or taken up there; no test writes into it."""
    cohort, table, config, folder = (base / name for name in ("cohort", "slices.parquet", "small.toml", "run"))
    if (base / "seconds.json").exists():
        return SmallRun(base, cohort, table, config, folder, json.loads((base / "seconds.json").read_text()))
    base.mkdir()
    write_text(config, CONFIG)
    shares = [word for name in SUBTYPES for word in ("--prevalence", f"{name}=0.4")]
    size = ["--studies", str(STUDIES), "--slices", str(SLICES), "--matrix", "256", "--seed", "3", "--jobs", "1"]
    _here("phantom", "--out", str(cohort), *size, *shares)
    _here("index", "phantom", "--root", str(cohort), "--config", str(config), "--out", str(table), "--jobs", "1")
    small = SmallRun(base, cohort, table, config, folder, {})
    small.seconds["train-cnn"] = run(*small.train_cnn(folder))
    small.seconds["extract-features"] = run("extract-features", "--run", str(folder), "--jobs", "1")
    run("train-lstm", "--run", str(folder), "--jobs", "1")
    _here("evaluate", "--run", str(folder), "--jobs", "1")
    write_json(base / "seconds.json", small.seconds)
    return small


def _here(*words: str) -> None:
    code, said = run_here(*words)
    assert code == 0, said
