"""`ichseq inspect`: plain words about models, studies, caches, runs, results and tables, loading nothing that computes."""

import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from dicom_factory import make_series
from example_result import calibrated_result, example_result
from pyarrow import parquet
from tiny_model import write_tiny_model

from ich_seq.cli import main
from ich_seq.config import Config
from ich_seq.embeddings.cache import write_index
from ich_seq.embeddings.part import SeriesFeatures, write_part
from ich_seq.files import write_json, write_text
from ich_seq.report.json_csv import result_json, slices_csv
from ich_seq.training.run import start_run


def inspect(*arguments):
    done = CliRunner().invoke(main, ["inspect", *map(str, arguments)])
    return done.exit_code, " ".join(done.stdout.split()), done.stderr


@pytest.fixture
def cache(tmp_path):
    features = SeriesFeatures(
        "1.2.3", ("1.2.3.1", "1.2.3.2"), np.zeros(2), np.ones((2, 4), np.float16), np.ones((2, 6), np.float32)
    )
    for identity in ("a" * 64, "b" * 64):
        (tmp_path / "cache" / "parts").mkdir(parents=True, exist_ok=True)
        write_part(tmp_path / "cache" / "parts", identity, features)
    write_text(tmp_path / "cache" / "extractor.txt", "c" * 64 + "\n")
    write_index(tmp_path / "cache", "c" * 64, ["a" * 64, "b" * 64])
    return tmp_path / "cache"


def test_a_model_is_told_by_what_taught_it_and_its_digest(tmp_path):
    info = write_tiny_model(tmp_path / "model")
    code, text, _ = inspect(tmp_path / "model")
    assert code == 0
    for words in (
        "a trained pipeline named tiny, whole and unchanged",
        "Nothing: seeded random weights for tests.",
        "resnext14_8x4d on 32 x 32 pixels, windows 40/80, 80/200, 40/380 HU",
        f"{info.weights_sha256}, verified",
        info.digest(),
        "Probabilities are not calibrated.",
        "no operating threshold has been chosen",
        "not a medical device",
    ):
        assert words in text


def test_a_damaged_model_is_refused_in_one_line(tmp_path):
    write_tiny_model(tmp_path / "model")
    (tmp_path / "model" / "weights.safetensors").write_bytes(b"0")
    code, text, errors = inspect(tmp_path / "model")
    assert (code, text) == (6, "")
    assert errors.startswith("error: ")
    assert "damaged or changed" in errors
    assert len(errors.splitlines()) == 1


def test_a_study_is_told_by_its_series_and_geometry(tmp_path):
    make_series(tmp_path / "study", slices=20, tilt_deg=12.0)
    make_series(tmp_path / "study" / "bone", slices=20, uid_seed="b", edit=_as_bone_series)
    (tmp_path / "study" / "notes.txt").write_text("not DICOM")
    code, text, _ = inspect(tmp_path / "study")
    assert code == 0
    for words in (
        "one CT study with 2 CT series",
        "20 slices of 64 x 80, 5.00 mm apart, 100.0 mm covered, gantry tilt 12.0 degrees",
        "not chosen: a sharp kernel",
        "N-GANTRY-TILT",
        "D-NOT-DICOM",
    ):
        assert words in text


def _as_bone_series(dataset, index):
    from dicom_factory import make_slice

    dataset.StudyInstanceUID = make_slice(0).StudyInstanceUID
    dataset.ConvolutionKernel = "H70h"


def test_a_study_that_would_be_refused_says_why(tmp_path):
    paths = make_series(tmp_path / "study", slices=20)
    for path in paths[4:10]:
        path.unlink()
    code, text, _ = inspect(tmp_path / "study")
    assert code == 0
    assert "refused E-INCOMPLETE: gap of 35.0 mm after 15.0 mm" in text


def test_a_cache_is_told_by_rows_series_and_extractor(cache):
    code, text, _ = inspect(cache)
    assert code == 0
    assert "a finished embedding cache of 2 series" in text
    assert "4 rows of 4-d embeddings" in text
    assert "c" * 64 in text


def test_a_cache_with_a_part_gone_is_refused(cache):
    (cache / "parts" / f"{'a' * 64}.h5").unlink()
    code, _, errors = inspect(cache)
    assert code == 6
    assert "1 of 2 parts are missing" in errors


def test_a_begun_cache_says_that_it_can_be_continued(cache):
    (cache / "index.json").unlink()
    code, text, _ = inspect(cache)
    assert code == 0
    assert "was begun" in text
    assert "series 2" in text


def test_a_run_says_which_steps_are_done(tmp_path):
    run = start_run(tmp_path / "run", Config(name="mine", about="an experiment"))
    write_json(run.record_path, {"steps": {"train-cnn": {"finished": "2026-01-01T00:00:00+00:00"}}})
    code, text, _ = inspect(tmp_path / "run")
    assert code == 0
    assert "a run of the experiment mine" in text
    assert "train-cnn, finished 2026-01-01T00:00:00+00:00" in text
    assert "learning curves not yet" in text
    assert "model not yet" in text
    run.stage_two.mkdir()
    (run.stage_two / "curves.png").write_bytes(b"")
    assert f"learning curves {run.stage_two / 'curves.png'}" in inspect(tmp_path / "run")[1]


def test_results_and_tables_are_told_apart(tmp_path):
    result = example_result()
    write_text(tmp_path / "result.json", result_json(result))
    write_text(tmp_path / "slices.csv", slices_csv(result))
    write_text(tmp_path / "stage_2_train.csv", "ID,Label\n" + "".join(f"ID_{i}_any,0\n" for i in range(12)))
    columns = ["patient_id", "series_instance_uid", "sop_instance_uid", "path", "split"]
    rows = [["p1", "s1", "i1", "a", "test"], ["p1", "s1", "i2", "b", "test"], ["p2", "s2", "i3", "c", "stage_one"]]
    table = pa.table({name: [row[number] for row in rows] for number, name in enumerate(columns)})
    parquet.write_table(table, tmp_path / "slices.parquet")
    assert "status complete" in inspect(tmp_path / "result.json")[1]
    assert "Any haemorrhage 0.900, not thresholded" in inspect(tmp_path)[1]
    write_text(tmp_path / "result.json", result_json(calibrated_result()))
    expected = "Any haemorrhage 0.900, calibrated 0.450, at or above the balanced threshold"
    assert expected in inspect(tmp_path)[1]
    assert "the slices of one scored study: 10 slices" in inspect(tmp_path / "slices.csv")[1]
    assert "RSNA 2019 challenge: 2 images x 6 labels" in inspect(tmp_path / "stage_2_train.csv")[1]
    text = inspect(tmp_path / "slices.parquet")[1]
    for words in ("made by `ichseq index`", "rows 3", "patients 2", "series 2", "test: 2 slices"):
        assert words in text


def test_what_belongs_to_something_known_is_told_as_that(tmp_path):
    write_tiny_model(tmp_path / "model")
    assert "a trained pipeline" in inspect(tmp_path / "model" / "weights.safetensors")[1]
    result = example_result()
    for name in ("0123456789ab", "ba9876543210"):
        (tmp_path / "scores" / name).mkdir(parents=True)
        write_text(tmp_path / "scores" / name / "result.json", result_json(result))
        write_text(tmp_path / "scores" / name / "report.html", "<html></html>")
    assert "status complete" in inspect(tmp_path / "scores" / "0123456789ab" / "report.html")[1]
    assert "the results of 2 scored studies 0123456789ab" in inspect(tmp_path / "scores")[1]
    write_text(tmp_path / "mine.toml", 'name = "mine"\nabout = "Ours."\n')
    assert "a config named mine: Ours." in inspect(tmp_path / "mine.toml")[1]
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "no_ending")
    assert "a Parquet table" in inspect(tmp_path / "no_ending")[1]


def test_a_name_too_long_for_the_file_system_is_refused_in_one_line(tmp_path):
    code, _, errors = inspect(tmp_path / ("x" * 300))
    assert (code, len(errors.splitlines())) == (3, 1)
    assert "File name too long" in errors


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("nothing", None, 3),
        ("text.txt", b"text", 3),
        ("bad.toml", b"nme = 1", 2),
        ("bad.parquet", b"text", 3),
        ("result.json", b"{}", 3),
        ("bad.csv", b"\xff\xfe", 3),
    ],
)
def test_what_it_does_not_know_is_refused_in_one_line(tmp_path, name, content, code):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done, text, errors = inspect(tmp_path / name)
    assert (done, text) == (code, "")
    assert errors.startswith("error: ")
    assert len(errors.splitlines()) == 1


def test_json_holds_the_same_facts(tmp_path):
    write_tiny_model(tmp_path / "model")
    done = CliRunner().invoke(main, ["inspect", str(tmp_path / "model"), "--json"])
    content = json.loads(done.stdout)
    assert content["kind"] == "model"
    assert content["trained on"] == "Nothing: seeded random weights for tests."


def test_nothing_that_computes_is_loaded(tmp_path, cache):
    write_tiny_model(tmp_path / "model")
    make_series(tmp_path / "study", slices=6)
    start_run(tmp_path / "run", Config(name="mine", about="an experiment"))
    code = (
        "import sys\nfrom ich_seq.cli import main\n"
        "for path in sys.argv[1:]:\n"
        "    try: main(['inspect', path])\n"
        "    except SystemExit as end: assert end.code == 0, (path, end.code)\n"
        "print(sorted(sys.modules))"
    )
    paths = [tmp_path / name for name in ("model", "study", "run")] + [cache]
    loaded = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True).stdout
    for heavy in ("torch", "torchvision", "pandas", "scipy", "sklearn", "matplotlib"):
        assert f"'{heavy}'" not in loaded


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    code, _, error = inspect(tmp_path / "pipe")
    assert code == 3
    assert "E-NO-DICOM" in error
