"""A NIfTI volume in HU is scored as the DICOM that it was made from, however it is stored; what is not HU is refused."""

import gzip
import json
import struct
from pathlib import Path

import jsonschema
import nibabel
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from dicom_factory import make_series
from nifti_copies import nifti_of
from tiny_model import load_tiny_model, write_tiny_model

import ich_seq
from ich_seq.cli import main
from ich_seq.dicom import ReadOptions, read_study_files
from ich_seq.dicom.limits import Limits
from ich_seq.errors import IchSeqError, IncompleteSeriesError, InputRefusedError, PixelsUnreadableError
from ich_seq.labels import LABEL_NAMES
from ich_seq.nifti import NiftiVolume
from ich_seq.phantom.cohort import write_cohort
from ich_seq.phantom.spec import CohortSpec
from ich_seq.study.result import Status, StudyResult, result_schema
from ich_seq.study.score import FailedStudy, ScoredStudy, score_studies
from ich_seq.volume import Volume

# Acquired axially (three letters), sagittally, coronally; the last two stored back to front.
AXES = ["LPS", "RAS", "LAS", "LPI", "SRA", "ASR", "PIR"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    write_tiny_model(folder)
    return folder


@pytest.fixture(scope="module")
def network(model):
    torch.set_num_threads(1)
    return load_tiny_model(model)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    """The slices of one synthetic head, its gantry tilted."""
    out = tmp_path_factory.mktemp("phantom") / "cohort"
    spec = CohortSpec.model_validate(
        {"studies": 1, "seed": 5, "slices": (18, 18), "matrices": (128,), "tilt_deg": (8.0, 12.0)}
    )
    write_cohort(spec, out, 1, lambda *_: None)
    return out / "stage_2_train"


@pytest.fixture(scope="module")
def of_dicom(network, phantom) -> StudyResult:
    return ich_seq.score_study(phantom, network)


@pytest.fixture(scope="module")
def head(tmp_path_factory) -> Path:
    """20 small slices 5 mm apart as NIfTI."""
    folder = tmp_path_factory.mktemp("head")
    make_series(folder / "dicom", slices=20)
    return nifti_of(folder / "dicom", folder / "head.nii.gz")


def ichseq(*arguments):
    return CliRunner().invoke(main, [str(word) for word in arguments])


def changed(source: Path, path: Path, values=None, **header: float) -> Path:
    """A copy with other values (a function of the HU) or other header fields, by their offset in NIfTI-1."""
    content = bytearray(gzip.decompress(source.read_bytes()))
    if values is not None:
        image = nibabel.load(source)
        array = values(np.asarray(image.dataobj))
        content = bytearray(nibabel.Nifti1Image(array, image.affine).to_bytes())
    offsets = {"qform_code": (252, "<h"), "sform_code": (254, "<h"), "scl_inter": (116, "<f"), "scl_slope": (112, "<f")}
    for name, value in header.items():
        struct.pack_into(offsets[name][1], content, offsets[name][0], value)
    path.write_bytes(content if path.suffix == ".nii" else gzip.compress(bytes(content)))
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("axes", AXES)
def test_slices_are_those_of_the_dicom_series_however_they_are_stored(phantom, tmp_path, axes, ending):
    """Padding is read as air in DICOM; NIfTI has it as any value below."""
    (study,) = read_study_files([phantom]).studies
    assert study.chosen is not None
    volume, copy = Volume(study.chosen), NiftiVolume(nifti_of(phantom, tmp_path / f"a{ending}", axes))
    assert len(copy) == len(volume) == 18
    for index in range(18):
        np.testing.assert_array_equal(np.maximum(copy[index], -1024), volume[index])
    # The affine is stored in float32, DICOM's decimals are rounded to 1e-6 mm.
    np.testing.assert_allclose(copy.image_positions_patient, volume.image_positions_patient, atol=1e-3)
    np.testing.assert_allclose(np.diff(copy.positions_mm), np.diff(volume.positions_mm), atol=1e-3)
    assert copy.pixel_spacing_mm == pytest.approx(volume.pixel_spacing_mm, abs=1e-5)
    assert copy.stack.tilt_deg == pytest.approx(volume.stack.tilt_deg, abs=0.01)


@pytest.mark.parametrize("axes", ["LPS", "RAI", "SRA"])
def test_scores_are_those_of_the_dicom_series(network, phantom, of_dicom, tmp_path, axes):
    result = ich_seq.score_study(nifti_of(phantom, tmp_path / "a.nii.gz", axes), network)
    for mine, theirs in zip(result.slices, of_dicom.slices, strict=True):
        for name in LABEL_NAMES:
            assert mine.stage_one.of(name) == pytest.approx(theirs.stage_one.of(name), abs=1e-6)
            assert mine.stage_two.of(name) == pytest.approx(theirs.stage_two.of(name), abs=1e-6)
    assert {of_dicom.source_format, result.source_format} == {"dicom", "nifti"}


def test_the_result_names_the_volume_by_its_content_and_warns(network, phantom, tmp_path):
    first = ich_seq.score_study(nifti_of(phantom, tmp_path / "NAME.nii.gz"), network)
    turned = ich_seq.score_study(nifti_of(phantom, tmp_path / "b.nii", "SRA"), network)
    assert first.status is Status.WITH_WARNINGS
    assert "W-NIFTI" in {found.code for found in first.findings}
    assert first.study_instance_uid == first.series_instance_uid == f"nifti-{first.input_sha256[:16]}"
    assert [score.sop_instance_uid.split("#")[1] for score in first.slices] == [str(place) for place in range(18)]
    assert turned.input_sha256 == first.input_sha256
    assert "NAME" not in first.model_dump_json()


def test_the_command_writes_its_three_files_and_the_summary_shows_the_warning(model, head, tmp_path):
    done = ichseq("score-study", head, "--model", model, "--jobs", "1", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(result_schema()).validate(content)
    assert "W-NIFTI" in done.stdout
    assert "W-NIFTI" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    rows = (tmp_path / "out" / "slices.csv").read_text(encoding="utf-8").splitlines()
    assert f"{content['study_instance_uid']}#0" in rows[1]


def test_a_folder_that_holds_one_volume_alone_is_that_volume(network, head, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.nii.gz").write_bytes(head.read_bytes())
    (tmp_path / "in" / "a.json").write_text("{}")
    alone, named = ich_seq.score_study(tmp_path / "in", network), ich_seq.score_study([head], network)
    assert alone.slices == named.slices
    (tmp_path / "in" / "mask.nii").write_bytes(b"")
    with pytest.raises(InputRefusedError, match="2 NIfTI volumes, and nothing says which .* name the files"):
        ich_seq.score_study(tmp_path / "in", network)


def test_beside_dicom_a_volume_is_scored_where_it_is_named_and_counted_where_it_is_not(network, head, tmp_path):
    make_series(tmp_path / "in", slices=20)
    outcomes = list(score_studies([head, tmp_path / "in", tmp_path / "in"], network))
    assert [outcome.result.source_format for outcome in outcomes if isinstance(outcome, ScoredStudy)] == [
        "dicom",
        "nifti",
    ]
    (tmp_path / "in" / "a.nii.gz").write_bytes(head.read_bytes())
    result = ich_seq.score_study(tmp_path / "in", network)
    assert result.source_format == "dicom"
    assert [(item.code, item.count, item.in_series) for item in result.dropped] == [("D-NOT-DICOM", 1, False)]
    with pytest.raises(InputRefusedError, match="leave --series out"):
        ich_seq.score_study(head, network, series_uid="1.2")


def test_a_volume_that_cannot_be_read_does_not_stop_the_others(network, head, tmp_path):
    (tmp_path / "bad.nii.gz").write_bytes(head.read_bytes()[:-4000])
    failed, scored = score_studies([tmp_path / "bad.nii.gz", head], network)
    assert isinstance(failed, FailedStudy)
    assert isinstance(scored, ScoredStudy)
    assert "bad.nii.gz" in failed.error.message


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (lambda hu: np.clip((hu + 60) * 255 / 200, 0, 255).astype(np.uint8), "E-NOT-HU"),
        (lambda hu: np.clip((hu + 60) / 200, 0, 1).astype(np.float32), "E-NOT-HU"),
        (lambda hu: ((hu - hu.mean()) / hu.std()).astype(np.float32), "E-NOT-HU"),
        (lambda hu: (hu > 40).astype(np.uint8), "E-NOT-HU"),
        (lambda hu: (hu + 1024 - min(hu.min() + 1024, 0)).astype(np.uint16), "E-NOT-HU"),
        (lambda hu: hu[:30], "D-MATRIX"),
    ],
)
def test_values_that_are_no_hu_of_a_head_are_refused_with_the_way_out(network, head, tmp_path, values, code):
    path = changed(head, tmp_path / "a.nii.gz", values)
    with pytest.raises(InputRefusedError, match=rf"^a.nii.gz: {code}: .*; (convert|give)") as refusal:
        ich_seq.score_study(path, network, options=ReadOptions(allow_incomplete=True))
    assert refusal.value.exit_code == 3


def test_stored_values_become_hu_by_the_scale_of_the_file(network, head, tmp_path):
    """As it stands in many files: 0 and up, scl_inter -1024."""
    path = changed(
        head, tmp_path / "a.nii.gz", lambda hu: (hu + 1024).astype(np.int16), scl_slope=1.0, scl_inter=-1024.0
    )
    assert ich_seq.score_study(path, network).slices == ich_seq.score_study(head, network).slices


def test_clipped_values_are_scored_with_a_warning(network, head, tmp_path):
    path = changed(head, tmp_path / "a.nii.gz", lambda hu: np.clip(hu, -200, None).astype(np.int16))
    # The factory's slices do not reach far above 0 HU everywhere; one voxel of bone makes the span that of a head.
    image = nibabel.load(path)
    array = np.asarray(image.dataobj).copy()
    array[5, 5, 5] = 1200
    nibabel.save(nibabel.Nifti1Image(array, image.affine), path)
    assert "W-NO-AIR" in {found.code for found in ich_seq.score_study(path, network).findings}


def test_a_volume_that_does_not_say_how_it_lies_is_refused(network, head, tmp_path):
    path = changed(head, tmp_path / "a.nii", sform_code=0, qform_code=0)
    with pytest.raises(InputRefusedError, match="E-NO-GEOMETRY: .*sform_code and qform_code are 0; set sform_code"):
        ich_seq.score_study(path, network)


def test_steps_wider_than_a_gap_may_be_are_refused_unless_allowed(network, head, tmp_path):
    image = nibabel.load(head)
    nibabel.save(
        nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine @ np.diag([1, 1, 6, 1])), tmp_path / "a.nii"
    )
    with pytest.raises(IncompleteSeriesError, match="gap of 30.0 mm"):
        ich_seq.score_study(tmp_path / "a.nii", network)
    assert (
        ich_seq.score_study(tmp_path / "a.nii", network, options=ReadOptions(allow_incomplete=True)).status
        is Status.INCOMPLETE
    )


def test_a_volume_on_the_cubes_diagonal_is_not_axial(network, head, tmp_path):
    """No axis within 45 degrees of feet to head: each makes 54.7 degrees with it."""
    third = np.array([1.0, 1.0, 1.0]) / np.sqrt(3)
    first = np.array([1.0, -1.0, 0.0]) / np.sqrt(2)
    along_z = np.stack([first, np.cross(third, first), third])  # takes (1, 1, 1) to z
    affine = np.eye(4)
    affine[:3, :3] = along_z
    nibabel.save(nibabel.Nifti1Image(np.zeros((64, 64, 64), np.int16), affine), tmp_path / "a.nii")
    with pytest.raises(InputRefusedError, match="E-NOT-AXIAL"):
        ich_seq.score_study(tmp_path / "a.nii", network)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda head: b"", "not a readable NIfTI file"),
        (lambda head: b"DICM" * 400, "not a readable NIfTI file|a header that no NIfTI"),
        (lambda head: head[: len(head) // 2], "not a readable NIfTI file"),
        (lambda head: gzip.compress(gzip.decompress(head)[:-100]), "truncated"),
        (lambda head: gzip.compress(bytes(8 << 20)), "more than 4 MiB"),
        (lambda head: nibabel.Nifti1Image(np.zeros((64, 64, 4, 2), np.int16), np.eye(4)).to_bytes(), "not one volume"),
        (lambda head: nibabel.Nifti1Image(np.zeros((64, 64, 0), np.int16), np.eye(4)).to_bytes(), "no slices"),
        (lambda head: nibabel.Nifti1Image(np.zeros((64, 64, 4), np.complex64), np.eye(4)).to_bytes(), "complex64"),
        (
            lambda head: nibabel.Nifti1Image(np.full((64, 64, 4), np.nan, np.float32), np.eye(4)).to_bytes(),
            "slice 0 has values that are no finite numbers; put -1024",
        ),
    ],
)
def test_a_file_that_is_no_readable_volume_is_one_error_that_names_it(
    model, head, tmp_path, monkeypatch, content, words
):
    monkeypatch.setattr("ich_seq.nifti.file.LIMITS", Limits(volume_bytes=4 << 20))
    path = tmp_path / "a.nii.gz"
    plain = content(head.read_bytes())
    path.write_bytes(plain if plain[:2] == b"\x1f\x8b" or not plain else gzip.compress(plain))
    done = ichseq("score-study", path, "--model", model, "--out", tmp_path / "out")
    assert done.exit_code == 3, done.output
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: a.nii.gz: ")
    assert any(word in line for word in words.split("|"))
    assert not (tmp_path / "out").exists()


def test_a_header_of_random_bytes_never_ends_in_a_traceback(head, tmp_path):
    content = gzip.decompress(head.read_bytes())
    rng = np.random.default_rng(1)
    refusals = 0
    for _ in range(150):
        mutant = bytearray(content)
        for place in rng.integers(0, 352, 6):
            mutant[place] = rng.integers(256)
        (tmp_path / "a.nii").write_bytes(mutant)
        try:
            NiftiVolume(tmp_path / "a.nii")
        except PixelsUnreadableError:
            refusals += 1
    assert refusals > 10, "some bytes matter"


def test_inspect_says_what_a_volume_is_and_whether_it_would_be_scored(head, tmp_path):
    done = ichseq("inspect", head)
    assert done.exit_code == 0, done.output
    for words in (
        "one NIfTI volume of 20 slices, which would be scored, with a warning",
        "5.00 mm apart",
        "axes towards LPS",
    ):
        assert words in " ".join(done.stdout.split())
    mask = changed(head, tmp_path / "mask.nii.gz", lambda hu: (hu > 40).astype(np.uint8))
    done = ichseq("inspect", mask, "--json")
    facts = json.loads(done.stdout)
    assert facts["kind"] == "nifti"
    assert "E-NOT-HU" in facts["refused"]


def test_an_unwritable_output_leaves_nothing(model, head):
    done = ichseq("score-study", head, "--model", model, "--out", "/proc/nowhere")
    assert done.exit_code == 5, done.output
    assert isinstance(done.exception, SystemExit | IchSeqError)
