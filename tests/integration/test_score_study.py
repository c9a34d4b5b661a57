"""Scoring from files to files, with a tiny seeded model: what is written, in which order, and how bad input is refused."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from dicom_factory import make_series, shuffled_copy
from tiny_model import load_tiny_model, write_tiny_model

import ich_seq
from ich_seq.cli import main
from ich_seq.dicom import ReadOptions
from ich_seq.errors import IncompleteSeriesError, InputRefusedError, UsageError
from ich_seq.files import temporary_beside
from ich_seq.labels import LABEL_NAMES, RESEARCH_NOTICE
from ich_seq.report.curves import unbroken_runs
from ich_seq.study.chunks import CHUNK_SLICES
from ich_seq.study.result import Gap, Status, StudyResult, result_schema
from ich_seq.study.score import FailedStudy, ScoredStudy, score_studies

FILES = {"result.json", "slices.csv", "report.html"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "model"
    write_tiny_model(folder)
    return folder


@pytest.fixture(scope="module")
def network(model):
    """The model, loaded once; one thread, since two on a busy machine take many times as long as one."""
    torch.set_num_threads(1)
    return load_tiny_model(model)


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """20 slices 5 mm apart cover 100 mm: no warning."""
    folder = tmp_path_factory.mktemp("head")
    make_series(folder, slices=20)
    return folder


@pytest.fixture(scope="module")
def gapped(tmp_path_factory):
    """30 slices without two neighbours: a gap of 15 mm, 7 % missing, which is accepted and said."""
    folder = tmp_path_factory.mktemp("gapped")
    paths = make_series(folder, slices=30)
    for index in (11, 12):
        paths[index].unlink()
    return folder


@pytest.fixture(scope="module")
def torn(tmp_path_factory):
    """20 slices without a third of them: refused unless incomplete series are allowed."""
    folder = tmp_path_factory.mktemp("torn")
    paths = make_series(folder, slices=20)
    for path in paths[4:10]:
        path.unlink()
    return folder


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def ichseq(*arguments):
    return CliRunner().invoke(main, ["score-study", "--jobs", "1", *map(str, arguments)])


def numbers(result):
    """A result without what differs from run to run."""
    return result.model_copy(update={"timings_s": {}, "dropped": ()})


def refused(done, code, *words):
    """One line on stderr, the exit code, and no traceback."""
    assert done.exit_code == code, done.output
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]
    assert done.stdout == ""


def test_a_study_becomes_three_files_and_a_summary(model, head, tmp_path):
    done = ichseq(head, "--model", model, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    content = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(result_schema()).validate(content)
    result = StudyResult.model_validate(content)
    assert result.status is Status.COMPLETE
    assert result.suitability == "usable"
    assert [score.index for score in result.slices] == list(range(20))
    assert [score.position_mm for score in result.slices] == pytest.approx([5.0 * i for i in range(20)], abs=1e-3)
    assert list(result.timings_s) == ["read_headers", "load_model", "read_pixels", "stage_one", "stage_two", "write"]
    assert result.versions.keys() >= {"ichseq", "python", "numpy", "pydicom", "torch", "device"}
    with (tmp_path / "out" / "slices.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 20
    words = " ".join(done.stdout.replace("│", " ").split())
    for phrase in ("complete series", "Any haemorrhage", "Trained on: Nothing", RESEARCH_NOTICE, "report.html"):
        assert phrase in words


def test_scan_scores_are_the_maxima_of_the_slices(network, head):
    result = ich_seq.score_study(head, network)
    for name in LABEL_NAMES:
        for stage in ("stage_one", "stage_two"):
            peak = getattr(result.label(name), stage)
            assert peak.probability == max(getattr(score, stage).of(name) for score in result.slices)


def test_numbers_are_those_of_the_model_on_the_ordered_slices(network, head):
    """The same network fed by hand, slices in the factory's order, in chunks of the same size."""
    from dicom_factory import ramp_hu

    result = ich_seq.score_study(head, network)
    slices = [ramp_hu(index) for index in range(20)]
    read = [network.read_slices(slices[start : start + CHUNK_SLICES]) for start in range(0, 20, CHUNK_SLICES)]
    one = np.concatenate([part.prob for part in read])
    two = network.refine(np.concatenate([part.reduced for part in read]), one)
    for score in result.slices:
        assert [np.float32(score.stage_one.of(name)) for name in LABEL_NAMES] == one[score.index].tolist()
        assert [np.float32(score.stage_two.of(name)) for name in LABEL_NAMES] == two[score.index].tolist()


def test_folder_zip_file_list_and_shuffled_files_give_the_same_result(network, head, tmp_path):
    paths = sorted(head.iterdir())
    with zipfile.ZipFile(tmp_path / "head.zip", "w") as archive:
        for path in paths:
            archive.write(path, f"export/{path.name}")
    shuffled = shuffled_copy(paths, tmp_path / "shuffled")
    (shuffled / "notes.txt").write_text("not DICOM")
    wanted = numbers(ich_seq.score_study(head, network))
    for source in (tmp_path / "head.zip", shuffled, list(reversed(paths))):
        assert numbers(ich_seq.score_study(source, network)) == wanted


def test_a_gap_makes_every_label_indeterminate(model, gapped, tmp_path):
    done = ichseq(gapped, "--model", model, "--out", "out")
    assert done.exit_code == 0, done.output
    result = StudyResult.model_validate_json((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert result.status is Status.INCOMPLETE
    (gap,) = result.series.gaps
    assert (gap.after_mm, gap.gap_mm) == (pytest.approx(50.0, abs=1e-3), pytest.approx(15.0, abs=1e-3))
    assert {score.reading for score in result.scan} == {"indeterminate"}
    assert "INCOMPLETE" in done.stdout
    assert done.stdout.count("indeterminate") == len(LABEL_NAMES)


def test_too_incomplete_a_series_is_scored_only_when_asked(model, network, torn, tmp_path):
    refused(ichseq(torn, "--model", model, "--out", "out"), 3, "gap of 35.0 mm", "15.0 mm")
    assert not (tmp_path / "out").exists()
    with pytest.raises(IncompleteSeriesError, match=r"gap of 35\.0 mm"):
        ich_seq.score_study(torn, network)
    result = ich_seq.score_study(torn, network, options=ReadOptions(allow_incomplete=True))
    assert result.status is Status.INCOMPLETE
    assert "E-INCOMPLETE" in {found.code for found in result.findings}


def test_strict_refuses_what_would_be_a_warning_and_names_every_code(model, gapped, head, tmp_path):
    """Contrast is known from headers, the cut JPEG-LS stream only from pixels: both are named, and no model is needed for it."""

    def with_contrast(dataset, index):
        dataset.ContrastBolusAgent = "Iodine"

    paths = make_series(tmp_path / "cut", slices=20, syntax="jpegls", edit=with_contrast)
    paths[7].write_bytes(paths[7].read_bytes()[:-200] + bytes(200))
    assert ichseq("cut", "--model", model, "--out", "out", "--quiet").exit_code == 0
    shutil.rmtree("out")
    refused(ichseq("cut", "--model", model, "--out", "out", "--strict"), 3, "W-CONTRAST", "W-SLICE-GAP", "; D-")
    refused(ichseq(gapped, "--model", model, "--out", "out", "--strict"), 3, "--strict refuses W-SLICE-GAP")
    assert not (tmp_path / "out").exists()
    assert ichseq(head, "--model", model, "--out", "out", "--strict", "--quiet").exit_code == 0


def test_a_slice_that_cannot_be_decoded_is_left_out_and_said(network, tmp_path):
    """JPEG-LS cut short inside its stream, while the header is whole: seen only when pixels are read."""
    paths = make_series(tmp_path / "cut", slices=20, syntax="jpegls")
    content = paths[7].read_bytes()
    paths[7].write_bytes(content[:-200] + b"\x00" * 200)
    result = ich_seq.score_study(tmp_path / "cut", network)
    assert len(result.slices) == 19
    assert result.status is Status.INCOMPLETE
    assert [(item.count, item.in_series) for item in result.dropped] == [(1, True)]
    (gap,) = result.series.gaps
    assert (gap.after_mm, gap.gap_mm) == (pytest.approx(30.0, abs=1e-3), pytest.approx(10.0, abs=1e-3))


def test_a_truncated_slice_at_the_end_makes_the_scan_incomplete(network, tmp_path):
    """Spacing cannot show that the last slice is missing; the dropped file does."""
    paths = make_series(tmp_path / "cut", slices=20)
    paths[-1].write_bytes(paths[-1].read_bytes()[:-4000])
    result = ich_seq.score_study(tmp_path / "cut", network)
    assert len(result.slices) == 19
    assert result.series.gaps == ()
    assert result.status is Status.INCOMPLETE
    assert [(item.code, item.in_series) for item in result.dropped] == [("D-TRUNCATED", True)]


def test_one_slice_is_scored_and_warned_about(network, head):
    result = ich_seq.score_study(sorted(head.iterdir())[0], network)
    assert len(result.slices) == 1
    assert result.status is Status.WITH_WARNINGS
    assert "W-SINGLE-SLICE" in {found.code for found in result.findings}


class CountingModel:
    """Stands in for a model: remembers how many slices came at once."""

    device, runtime, precision = "cpu", "torch", "fp32"

    def __init__(self, info):
        self.info, self.chunks = info, []

    def read_slices(self, slices_hu):
        self.chunks.append(len(slices_hu))
        return np.full((len(slices_hu), 6), 0.5, np.float32), np.zeros((len(slices_hu), 4), np.float32)

    def refine(self, reduced, prob):
        return prob


def test_a_thousand_slices_pass_in_small_chunks(network, tmp_path):
    make_series(tmp_path / "long", slices=1000, size=(64, 64), spacing_mm=2.5)
    counting = CountingModel(network.info)
    result = ich_seq.score_study(tmp_path / "long", counting)
    assert len(result.slices) == 1000
    assert counting.chunks == [CHUNK_SLICES] * (1000 // CHUNK_SLICES)
    assert result.series.coverage_mm == pytest.approx(2500.0, abs=0.1)
    prob, reduced = np.full((1000, 6), 0.5, np.float32), np.zeros((1000, 8), np.float32)
    assert network.refine(reduced, prob).shape == (1000, 6)


def test_thin_slices_are_scored_as_means_that_name_their_files(model, tmp_path):
    """160 slices 1.25 mm apart without five of them: a gap of 7.5 mm, which no mean spans."""
    paths = make_series(tmp_path / "thin", slices=160, size=(64, 64), spacing_mm=1.25)
    for path in paths[80:85]:
        path.unlink()
    assert ichseq(tmp_path / "thin", "--model", model, "--out", tmp_path / "out").exit_code == 0
    text = (tmp_path / "out" / "result.json").read_text(encoding="utf-8")
    jsonschema.validate(json.loads(text), result_schema())
    result = StudyResult.model_validate_json(text)
    # by hand: 100 mm below the gap in 20 parts of four slices, 93.75 mm above it in 19
    assert len(result.slices) == result.series.slices == 39
    names = [name for score in result.slices for name in score.averaged_sop_instance_uids]
    assert len(set(names)) == len(names) == 155
    for score in result.slices:
        assert score.sop_instance_uid in score.averaged_sop_instance_uids
        # the factory's lowest slice lies at 50 mm
        assert score.position_mm == pytest.approx(score.image_position_patient[2] - 50, abs=1e-4)
    assert result.series.gaps == (Gap(after_mm=79 * 1.25, gap_mm=7.5),)
    below, above = unbroken_runs(result)
    assert (len(below), len(above)) == (20, 19)
    assert {score.reading for score in result.scan} == {"indeterminate"}
    rows = list(csv.DictReader((tmp_path / "out" / "slices.csv").read_text(encoding="utf-8").splitlines()))
    assert sum(int(row["averaged_slices"]) for row in rows) == 155
    assert "(mean of 4 thin ones)" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_several_studies_get_a_folder_each_and_failures_exit_4(model, head, torn, tmp_path):
    make_series(tmp_path / "all" / "other", slices=20, uid_seed="b")
    make_series(tmp_path / "all" / "torn", slices=20, uid_seed="c")
    for path in sorted((tmp_path / "all" / "torn").iterdir())[4:10]:
        path.unlink()
    done = ichseq(tmp_path / "all", head, "--model", model, "--out", "out", "--json")
    assert done.exit_code == 4
    assert "1 of 3 studies" in done.stderr
    assert re.search(r"^study [0-9.]+: E-INCOMPLETE", done.stderr, re.MULTILINE)
    folders = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    written = {folder.name: {path.name for path in folder.iterdir()} for folder in folders}
    assert len(written) == 2
    rows = list(csv.DictReader((tmp_path / "out" / "worklist.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["rank"] for row in rows] == ["1", "2", ""]
    assert float(rows[0]["scan_any"]) >= float(rows[1]["scan_any"])
    assert {row["folder"] for row in rows[:2]} == written.keys()
    assert rows[2]["fault"].startswith("E-INCOMPLETE")
    page = (tmp_path / "out" / "worklist.html").read_text(encoding="utf-8")
    assert all(f'href="{name}/report.html"' in page for name in written)
    assert all(len(name) == 12 and files == FILES for name, files in written.items())
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted("error" in line for line in lines) == [False, False, True]
    assert [line["exit_code"] for line in lines if "error" in line] == [3]


def test_several_studies_are_too_many_for_score_study_in_python(network, head, tmp_path):
    make_series(tmp_path / "other", slices=20, uid_seed="b")
    with pytest.raises(InputRefusedError, match="2 studies"):
        ich_seq.score_study([head, tmp_path / "other"], network)
    outcomes = list(score_studies([head, tmp_path / "other"], network))
    assert [type(outcome) for outcome in outcomes] == [ScoredStudy, ScoredStudy]


def test_a_refused_study_does_not_stop_the_others(network, torn, tmp_path):
    make_series(tmp_path / "other", slices=20, uid_seed="b")
    shutil.copytree(torn, tmp_path / "torn")
    outcomes = list(score_studies([tmp_path / "torn", tmp_path / "other"], network))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["FailedStudy", "ScoredStudy"]
    (failed,) = [outcome for outcome in outcomes if isinstance(outcome, FailedStudy)]
    assert isinstance(failed.error, IncompleteSeriesError)


def test_series_can_be_named(network, head, tmp_path):
    def other_series(dataset, index):
        dataset.SeriesInstanceUID = "1.2.3"
        dataset.SOPInstanceUID = f"1.2.3.{index + 1}"
        dataset.ConvolutionKernel = "H70h"

    make_series(tmp_path / "two", slices=20, edit=other_series)
    source = [head, tmp_path / "two"]
    by_itself = ich_seq.score_study(source, network)
    assert by_itself.series_instance_uid != "1.2.3"
    assert [candidate.chosen for candidate in by_itself.candidates].count(True) == 1
    assert any("kernel" in candidate.reason for candidate in by_itself.candidates if not candidate.chosen)
    named = ich_seq.score_study(source, network, series_uid="1.2.3")
    assert named.series_instance_uid == "1.2.3"
    assert named.status is Status.WITH_WARNINGS


def test_without_out_results_go_to_a_folder_named_by_digest(model, head, tmp_path):
    done = ichseq(head, "--model", model, "--quiet")
    assert done.exit_code == 0, done.output
    assert done.output == ""
    (folder,) = (tmp_path / "scores").iterdir()
    assert len(folder.name) == 12
    assert {path.name for path in folder.iterdir()} == FILES


def test_the_terminal_says_which_series_of_which_study_and_why(model, head):
    done = ichseq(head, "--model", model, "--out", "out")
    result = StudyResult.model_validate_json(Path("out/result.json").read_text())
    assert f"Study:  {result.study_instance_uid}" in done.stdout
    assert f"Series: {result.series_instance_uid} (the only CT series" in done.stdout


def test_a_refusal_names_what_was_given(model, torn):
    refused(ichseq(torn, "--model", model, "--out", "out"), 3, f"{torn}: E-INCOMPLETE")


@pytest.mark.parametrize("out", ["/proc/nowhere", "x" * 300])
def test_a_place_that_cannot_be_is_an_output_error(model, head, out):
    refused(ichseq(head, "--model", model, "--out", out), 5, "choose another folder with --out")


def test_an_empty_folder_is_refused(model, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(ichseq("empty", "--model", model, "--out", "out"), 3, "empty: E-NO-DICOM: no file at all")
    assert not (tmp_path / "out").exists()


def test_a_missing_path_is_refused(model, tmp_path):
    refused(ichseq("nowhere", "--model", model, "--out", "out"), 3, "nowhere")


def test_a_folder_without_ct_is_refused(model, tmp_path):
    def magnetic(dataset, index):
        dataset.Modality, dataset.SOPClassUID = "MR", "1.2.840.10008.5.1.4.1.1.4"

    make_series(tmp_path / "mr", slices=2, edit=magnetic)
    refused(ichseq("mr", "--model", model, "--out", "out"), 3, "no CT image")


def test_a_corrupt_zip_is_refused(model, head, tmp_path):
    with zipfile.ZipFile("cut.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in head.iterdir():
            archive.write(path, path.name)
    content = (tmp_path / "cut.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    refused(ichseq("cut.zip", "--model", model, "--out", "out"), 3, "cut.zip")
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_output_folder_is_said_before_the_model_is_read(model, head, tmp_path):
    (tmp_path / "out").write_text("mine")
    damaged = tmp_path / "model"
    shutil.copytree(model, damaged)
    (damaged / "weights.safetensors").write_bytes(b"")
    refused(ichseq(head, "--model", damaged, "--out", "out"), 5, "out")
    refused(ichseq(head, "--model", damaged, "--out", "out/deeper"), 5, "out/deeper")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Debian tools: no /dev/full")
@pytest.mark.parametrize("name", sorted(FILES))
def test_a_full_disk_leaves_nothing_half_written(model, head, tmp_path, name):
    """/dev/full gives the kernel's own ENOSPC; it stands where one of the three files is first written."""
    (tmp_path / "out").mkdir()
    temporary_beside(tmp_path / "out" / name).symlink_to("/dev/full")
    refused(ichseq(head, "--model", model, "--out", "out"), 5, "disk is full", name)
    assert list((tmp_path / "out").iterdir()) == []


def test_earlier_results_stay_when_writing_fails(model, head, tmp_path):
    assert ichseq(head, "--model", model, "--out", "out", "--quiet").exit_code == 0
    before = {name: (tmp_path / "out" / name).read_bytes() for name in FILES}
    temporary_beside(tmp_path / "out" / "slices.csv").symlink_to("/dev/full")
    refused(ichseq(head, "--model", model, "--out", "out"), 5, "disk is full")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == before


def flip_a_bit(folder):
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (flip_a_bit, "damaged or changed"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "missing"),
        (lambda folder: (folder / "model.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "model.json").unlink(), "not a model bundle"),
        (shutil.rmtree, "no model there"),
    ],
)
def test_a_damaged_or_wrong_bundle_is_refused(model, head, tmp_path, damage, word):
    shutil.copytree(model, tmp_path / "model")
    damage(tmp_path / "model")
    refused(ichseq(head, "--model", tmp_path / "model", "--out", "out"), 6, word)
    assert not (tmp_path / "out").exists()


def test_an_unknown_device_or_series_is_refused(model, head):
    refused(ichseq(head, "--model", model, "--out", "out", "--device", "tpu"), 2, "tpu")
    refused(ichseq(head, "--model", model, "--out", "out", "--series", "1.2.3.4"), 3, "1.2.3.4; there are ")
    with pytest.raises(UsageError, match="tpu"):
        ich_seq.score_study(head, model, device="tpu")


def test_no_header_text_reaches_any_file_or_the_terminal(model, tmp_path):
    def mark(dataset, index):
        for keyword in ("PatientName", "PatientID", "SeriesDescription", "InstitutionName", "AccessionNumber"):
            setattr(dataset, keyword, "MARKER")

    make_series(tmp_path / "MARKER", slices=20, edit=mark)
    (tmp_path / "MARKER" / "MARKER.txt").write_text("MARKER")
    done = ichseq("MARKER", "--model", model, "--out", "out")
    assert done.exit_code == 0, done.output
    assert "MARKER" not in done.output
    for path in (tmp_path / "out").iterdir():
        assert "MARKER" not in path.read_text(encoding="utf-8")


def test_the_patient_is_named_in_the_report_alone_and_only_when_asked(model, tmp_path):
    def named(dataset, index):
        dataset.PatientName, dataset.PatientID = "<b>MARKER^One", "MARKER-2"
        dataset.PatientBirthDate, dataset.StudyDate = "19010203", "20240203"

    make_series(tmp_path / "scan", slices=20, edit=named)
    done = ichseq("scan", "--model", model, "--out", "out", "--show-patient")
    assert done.exit_code == 0, done.output
    assert "MARKER" not in done.output
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for words in ("&lt;b&gt;MARKER, One", "MARKER-2", "1901-02-03", "2024-02-03"):
        assert words in page
    for name in FILES - {"report.html"}:
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert not re.search("MARKER|1901|2024", text)
    assert ichseq("scan", "--model", model, "--out", "plain", "--quiet").exit_code == 0
    plain = (tmp_path / "plain" / "report.html").read_text(encoding="utf-8")
    assert not re.search("MARKER|1901-02-03|2024-02-03", plain)


def test_a_process_of_its_own_scores_and_prints_json(model, network, head, tmp_path):
    score = ("score-study", "--jobs", "1", "--device", "cpu", head)
    command = [sys.executable, "-c", "from ich_seq.cli import main; main()", *score]
    done = subprocess.run(
        [*command, "--model", model, "--out", "out", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    printed = StudyResult.model_validate_json(done.stdout)
    written = StudyResult.model_validate_json((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert printed == written
    here = ich_seq.score_study(head, network)  # on other threads, which sum in another order
    assert here.input_sha256 == written.input_sha256
    for one, other in zip(written.slices, here.slices, strict=True):
        assert one.sop_instance_uid == other.sop_instance_uid
        assert one.stage_two.model_dump() == pytest.approx(other.stage_two.model_dump(), abs=1e-6)


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, ich_seq; print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("torch", "numpy", "pydicom", "pydantic", "pandas"):
        assert f"'{heavy}'" not in loaded
