"""Nothing that names a person gets out: markers in headers, zip comments and file names are in no file, no log, no warning."""

import logging
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dicom_factory import make_series
from planted import DATE, FIELDS, MARKER, found_in, leaks_below, plant, planted_names, planted_zip
from tiny_model import write_tiny_model

from ich_seq.cli import main
from ich_seq.labels import SUBTYPE_NAMES

CONFIG = """
name = "planted"
about = "for tests"
[split]
stage_one = 0.25
stage_two = 0.25
validation = 0.25
test = 0.25
[preprocess]
size = 64
[cnn]
backbone = "resnext14_8x4d"
weights = "none"
[train_cnn]
epochs = 1
batch_size = 8
workers = 0
precision = "fp32"
[features]
pca_components = 4
[lstm]
hidden = 4
layers = 1
[train_lstm]
epochs = 1
"""


class _Heard(logging.Handler):
    """Everything that is logged, at every level."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.getMessage()} {record.exc_text or record.exc_info or ''}")


def run(*words: object) -> tuple[Result, str]:
    """A command with logging at DEBUG and warnings shown: its outcome, and all that was logged or warned of."""
    heard, root = _Heard(), logging.getLogger()
    level = root.level
    root.addHandler(heard)
    root.setLevel(logging.DEBUG)
    logging.getLogger("pydicom").setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            done = CliRunner().invoke(main, [str(word) for word in words])
    finally:
        root.removeHandler(heard)
        root.setLevel(level)
        logging.getLogger("pydicom").setLevel(logging.NOTSET)
    return done, "\n".join([*heard.lines, *(str(each.message) for each in warned)])


def silent(*words: object, code: int = 0) -> Result:
    """The outcome of a command that ends with `code`: no marker was logged, and none but a file's name was printed."""
    done, log = run(*words)
    assert done.exit_code == code, done.output
    assert found_in(log) == []
    assert found_in(done.output, names=False) == []
    return done


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    write_tiny_model(folder)
    return folder


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A planted series of 20 slices, one of which is cut short, a text file and a localizer."""
    paths = planted_names(make_series(tmp_path / "scan" / "zqfile folder", slices=20, edit=plant))
    paths[7].write_bytes(paths[7].read_bytes()[:-200])
    (paths[0].parent / "zqfile notes.txt").write_text(MARKER)

    def localizer(dataset, index):
        plant(dataset, index)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER", MARKER]

    make_series(tmp_path / "scan" / "zqfile scout", slices=1, edit=localizer, uid_seed="l")
    return tmp_path / "scan"


def test_markers_are_planted_in_more_than_35_fields_and_would_be_found(scan: Path, tmp_path: Path) -> None:
    assert FIELDS >= 35
    assert len(leaks_below(scan)) > 20 * 3
    content = next((scan / "zqfile folder").glob("*.dcm")).read_bytes()
    assert content.count(MARKER.encode()) + content.count(DATE.encode()) >= 35
    assert MARKER.encode() in planted_zip(scan, tmp_path / "scan.zip").read_bytes()[-40:]


def test_scoring_checking_and_inspecting_name_nobody(model: Path, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    archive = planted_zip(scan / "zqfile folder", tmp_path / "scan.zip")
    silent("check", scan, code=10)
    silent("check", archive, "--json", code=10)
    silent("check", scan, "--strict", code=3)
    silent("inspect", scan)
    silent("inspect", archive)
    silent("score-study", scan, "--model", model, "--out", out / "folder", "--jobs", 1)
    silent("score-study", archive, "--model", model, "--out", out / "zip", "--jobs", 1, "--json")
    silent("inspect", out / "folder")
    assert leaks_below(out) == []
    assert len(list(out.rglob("*"))) == 2 + 6


def test_runs_that_fail_name_nobody(model: Path, scan: Path, tmp_path: Path) -> None:
    out, words = tmp_path / "out", ("--model", model, "--out", tmp_path / "out", "--jobs", 1)
    silent("score-study", scan, *words, "--strict", code=3)
    silent("score-study", scan, *words, "--series", "1.2.3", code=3)

    def two_patients(dataset, index):
        plant(dataset, index, patient=index % 2)

    make_series(tmp_path / "mixed", slices=6, edit=two_patients)
    silent("score-study", tmp_path / "mixed", *words, code=3)
    silent("check", tmp_path / "mixed", code=3)
    silent("inspect", tmp_path / "mixed")

    def nonsense(dataset, index):
        plant(dataset, index)
        dataset.InstanceNumber, dataset.RescaleSlope, dataset.PixelSpacing = 12345678, "1.234567", ["0.512345"] * 2
        dataset.PatientAge, dataset.SpecificCharacterSet = MARKER, MARKER

    for path in make_series(tmp_path / "nonsense", slices=3, edit=nonsense):
        content = path.read_bytes()
        for number in (b"12345678", b"1.234567", b"0.512345"):
            assert number in content
            content = content.replace(number, MARKER.encode() + number[5:])
        path.write_bytes(content)
    silent("score-study", tmp_path / "nonsense", *words, code=3)
    silent("check", tmp_path / "nonsense", code=3)
    archive = planted_zip(scan / "zqfile folder", tmp_path / "cut.zip")
    archive.write_bytes(archive.read_bytes()[:100_000])
    silent("check", archive, code=3)
    silent("score-study", archive, *words, code=3)
    assert not out.exists()


def test_training_and_evaluating_on_own_data_name_nobody(tmp_path: Path) -> None:
    """The table of slices alone names files: training finds the images by them."""
    rows = [",".join(("path", *SUBTYPE_NAMES))]
    for number in range(8):

        def edit(dataset, index, number=number):
            plant(dataset, index, patient=number)

        paths = make_series(tmp_path / "data" / f"zqfile {number}", slices=6, uid_seed=f"{number}", edit=edit)
        for path in planted_names(paths):
            rows.append(f"{path.relative_to(tmp_path / 'data').as_posix()}," + ",".join([str(number % 2)] * 5))
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "planted.toml").write_text(CONFIG)
    config, table, folder = tmp_path / "planted.toml", work / "own.parquet", work / "run"
    words = ("--root", tmp_path / "data", "--labels", tmp_path / "labels.csv", "--jobs", 1)
    silent("index", "own", *words, "--config", config, "--out", table)
    silent("explore", "--table", table, "--out", work / "explore.html", "--sample", 4)
    silent("train-cnn", "--config", config, "--table", table, "--run", folder, "--jobs", 1)
    cut = sorted((tmp_path / "data" / "zqfile 3").iterdir())[2]
    whole = cut.read_bytes()
    cut.write_bytes(whole[:-200])
    done = silent("extract-features", "--run", folder, "--jobs", 1)
    assert "left out" in done.stderr
    cut.write_bytes(whole)
    for command in ("train-lstm", "evaluate"):
        silent(command, "--run", folder, "--jobs", 1)
    silent("explain-scale", "--run", folder, "--jobs", 1)
    silent("ensemble", folder, "--table", table, "--out", work / "few", "--jobs", 1)
    few = ("--model", work / "few" / "model", "--jobs", 1)
    silent(
        "score-study", tmp_path / "data" / "zqfile 0", tmp_path / "data" / "zqfile 1", *few, "--out", work / "scored"
    )
    silent("explain-study", tmp_path / "data" / "zqfile 1", *few, "--out", work / "explained", "--dicom")
    assert (work / "scored" / "worklist.html").exists()
    for path in (table, folder, folder / "model", work / "few" / "model"):
        silent("inspect", path)
    assert leaks_below(work) == []
