"""`ichseq check` and `ich_seq.check_study`: whether a study can be scored, by exit code, in words and as JSON; no model is there."""

import json
import os
import subprocess
import sys
import zipfile

import pytest
from click.testing import CliRunner
from dicom_factory import make_series
from nifti_copies import nifti_of

import ich_seq
from ich_seq.cli import main
from ich_seq.dicom import ReadOptions
from ich_seq.errors import InputRefusedError
from ich_seq.study.check import StudyCheck, Verdict


def check(*arguments):
    done = CliRunner().invoke(main, ["check", *map(str, arguments)])
    return done.exit_code, " ".join(done.stdout.split()), done.stderr


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """20 slices 5 mm apart cover 100 mm: no warning."""
    folder = tmp_path_factory.mktemp("whole")
    make_series(folder, slices=20)
    return folder


@pytest.fixture(scope="module")
def gapped(tmp_path_factory):
    """30 slices without two neighbours: a gap of 15 mm, accepted with a warning."""
    folder = tmp_path_factory.mktemp("gapped")
    paths = make_series(folder, slices=30, uid_seed="g")
    for index in (11, 12):
        paths[index].unlink()
    return folder


@pytest.fixture(scope="module")
def torn(tmp_path_factory):
    """20 slices without six: a gap of 35 mm, refused."""
    folder = tmp_path_factory.mktemp("torn")
    paths = make_series(folder, slices=20, uid_seed="t")
    for path in paths[4:10]:
        path.unlink()
    return folder


def test_a_whole_series_is_usable(whole):
    code, text, errors = check(whole)
    assert (code, errors) == (0, "")
    assert text.startswith("USABLE: nothing was found")
    for words in ("20 slices, chosen: the only CT series", "20 slices of 64 x 80, 5.00 mm apart", "complete"):
        assert words in text


def test_a_gap_is_usable_with_a_warning_and_said_in_mm_with_what_to_do(gapped):
    code, text, _ = check(gapped)
    assert code == 10
    assert text.startswith("USABLE WITH WARNINGS: W-SLICE-GAP")
    for words in ("no label would read absent", "gaps 15.0 mm after 50.0 mm", "Export the series again."):
        assert words in text


def test_a_series_with_too_much_missing_is_refused_unless_that_is_allowed(torn):
    code, text, _ = check(torn)
    assert code == 3
    assert text.startswith("REFUSED: E-INCOMPLETE: gap of 35.0 mm after 15.0 mm")
    code, text, _ = check(torn, "--allow-incomplete")
    assert code == 10
    assert text.startswith("USABLE WITH WARNINGS: E-INCOMPLETE, W-SLICE-GAP")


def test_strict_refuses_a_warning_and_a_lost_slice_and_names_every_code(gapped, torn, tmp_path):
    paths = make_series(tmp_path / "cut", slices=20, edit=_with_contrast)
    paths[-1].write_bytes(paths[-1].read_bytes()[:-4000])
    assert check(tmp_path / "cut")[0] == 10
    code, text, _ = check(tmp_path / "cut", "--strict")
    assert code == 3
    verdict = text.partition(" study ")[0]
    assert verdict.startswith("REFUSED: --strict refuses W-CONTRAST")
    assert "D-TRUNCATED" in verdict
    assert check(gapped, "--strict")[0] == 3
    code, text, _ = check(torn, "--strict", "--allow-incomplete")
    assert code == 3
    assert "--strict refuses E-INCOMPLETE" in text
    assert "W-SLICE-GAP" in text


def test_strict_lets_a_series_pass_that_has_notes_only(whole):
    assert check(whole, "--strict")[0] == 0


def _with_contrast(dataset, index):
    dataset.ContrastBolusAgent = "Iodine"


def test_a_fault_that_only_the_pixels_show_is_known(tmp_path):
    """JPEG-LS cut short inside its stream, while the header is whole."""
    paths = make_series(tmp_path / "cut", slices=20, syntax="jpegls")
    content = paths[7].read_bytes()
    paths[7].write_bytes(content[:-200] + b"\x00" * 200)
    found = ich_seq.check_study(tmp_path / "cut")
    assert found.verdict is Verdict.WITH_WARNINGS
    assert found.series is not None
    assert found.series.slices == 19
    assert [(gap.after_mm, gap.gap_mm) for gap in found.series.gaps] == [(30.0, 10.0)]
    assert [(item.count, item.in_series) for item in found.dropped] == [(1, True)]
    code, text, _ = check(tmp_path / "cut")
    assert code == 10
    assert paths[7].name in text


def test_several_studies_are_said_one_by_one_and_the_worst_gives_the_exit_code(whole, gapped, torn):
    code, text, _ = check(whole, gapped, torn)
    assert code == 3
    assert "3 studies: 1 usable, 1 usable with warnings, 1 refused" in text
    assert check(whole, gapped)[0] == 10
    code, text, errors = check(whole, gapped, torn, "--quiet")
    assert (code, text) == (3, "")
    assert len(errors.splitlines()) == 1
    assert errors.startswith("refused: study 1.2.826")


def test_json_is_one_object_a_study_that_comes_back_as_the_check(whole, gapped):
    done = CliRunner().invoke(main, ["check", str(whole), str(gapped), "--json"])
    assert done.exit_code == 10
    read = [StudyCheck.model_validate_json(line) for line in done.stdout.splitlines()]
    assert sorted((item.verdict.value, item.exit_code) for item in read) == [
        ("usable", 0),
        ("usable with warnings", 10),
    ]
    assert {item.study_instance_uid: item for item in read}[read[0].study_instance_uid] in [
        ich_seq.check_study(whole),
        ich_seq.check_study(gapped),
    ]
    assert set(json.loads(done.stdout.splitlines()[0])) == {
        *("version", "verdict", "exit_code", "refusal", "status", "source_format", "study_instance_uid"),
        *("series_instance_uid", "series", "candidates", "findings", "dropped"),
    }


def test_a_folder_and_its_zip_are_alike(gapped, tmp_path):
    with zipfile.ZipFile(tmp_path / "gapped.zip", "w") as archive:
        for path in gapped.iterdir():
            archive.write(path, f"export/{path.name}")
    assert ich_seq.check_study(tmp_path / "gapped.zip") == ich_seq.check_study(gapped)


def test_series_can_be_named_and_the_others_say_why_they_lost(whole, tmp_path):
    def bone(dataset, index):
        dataset.SeriesInstanceUID, dataset.SOPInstanceUID = "1.2.3", f"1.2.3.{index + 1}"
        dataset.ConvolutionKernel = "H70h"

    make_series(tmp_path / "bone", slices=20, edit=bone)
    code, text, _ = check(whole, tmp_path / "bone")
    assert code == 0
    assert "1.2.3: 20 slices, not chosen: a sharp kernel" in text
    code, text, _ = check(whole, tmp_path / "bone", "--series", "1.2.3")
    assert code == 10
    assert "USABLE WITH WARNINGS: W-BONE-KERNEL" in text


def test_a_series_that_is_no_stack_is_refused_with_its_code_and_all_that_was_noticed(tmp_path):
    def two_patients(dataset, index):
        dataset.PatientID = f"P{index % 2}"

    make_series(tmp_path / "mixed", slices=6, edit=two_patients)
    found = ich_seq.check_study(tmp_path / "mixed")
    assert found.refusal is not None
    assert (found.verdict, found.refusal.code, found.exit_code) == (Verdict.REFUSED, "E-MIXED-PATIENTS", 3)
    assert (found.status, found.series, found.series_instance_uid) == (None, None, None)
    assert [item.code for item in found.findings] == ["E-MIXED-PATIENTS"]
    assert check(tmp_path / "mixed")[0] == 3


def test_a_series_whose_every_file_is_cut_is_refused_and_names_them(tmp_path):
    for path in make_series(tmp_path / "cut", slices=3):
        path.write_bytes(path.read_bytes()[:-4000])
    code, text, _ = check(tmp_path / "cut")
    assert code == 3
    assert text.startswith("REFUSED: no CT slice can be used: D-TRUNCATED")
    (dropped,) = ich_seq.check_study(tmp_path / "cut").dropped
    assert (dropped.code, dropped.count, dropped.in_series) == ("D-TRUNCATED", 3, True)


def test_nifti_is_usable_with_a_warning_or_refused(whole, tmp_path):
    nifti_of(whole, tmp_path / "scan.nii.gz")
    found = ich_seq.check_study(tmp_path / "scan.nii.gz")
    assert (found.source_format, found.exit_code) == ("nifti", 10)
    assert "W-NIFTI" in {item.code for item in found.findings}
    assert check(tmp_path / "scan.nii.gz", "--strict")[0] == 3
    (tmp_path / "bad.nii").write_bytes(b"nothing")
    code, text, _ = check(tmp_path / "bad.nii")
    assert code == 3
    assert text.startswith("REFUSED: bad.nii: ")


def test_a_name_that_is_not_utf_8_and_a_header_of_nonsense_are_one_refusal_and_no_word_from_nibabel(tmp_path):
    path = tmp_path / os.fsdecode(b"scan\xff\x1b[31m.nii")
    path.write_bytes(b"x" * 400)
    done = subprocess.run(
        [sys.executable, "-m", "ich_seq", "check", "--json", path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (3, "")
    assert json.loads(done.stdout)["refusal"]["message"].startswith("scan?\x1b[31m.nii: not a readable NIfTI file")


def test_where_nothing_is_there_is_one_line_and_exit_3(tmp_path):
    for arguments in ((tmp_path / "nowhere",), (tmp_path,), (tmp_path, "--json")):
        code, text, errors = check(*arguments)
        assert (code, text) == (3, "")
        assert errors.startswith("error: ")
        assert len(errors.splitlines()) == 1


def test_check_study_takes_one_study(whole, gapped):
    with pytest.raises(InputRefusedError, match="2 studies"):
        ich_seq.check_study([whole, gapped])
    strict = ich_seq.check_study(gapped, options=ReadOptions(strict=True))
    assert strict.verdict is Verdict.REFUSED
    assert len(list(ich_seq.check_studies([whole, gapped]))) == 2
