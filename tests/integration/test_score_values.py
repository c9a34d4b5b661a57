"""No score from values that are not those of a head in HU; slices that do not fit the others are left out and said."""

import nibabel
import numpy as np
import pytest
import torch
from dicom_factory import make_series, ramp_hu
from nifti_copies import nifti_of
from tiny_model import load_tiny_model, write_tiny_model

import ich_seq
from ich_seq.dicom import ReadOptions
from ich_seq.errors import SeriesRefusedError
from ich_seq.labels import LABEL_NAMES
from ich_seq.nifti import NiftiVolume
from ich_seq.study.result import Status


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "model"
    write_tiny_model(folder)
    torch.set_num_threads(1)
    return load_tiny_model(folder)


def intercept_of(places, value):
    def edit(dataset, index):
        if index in places:
            dataset.RescaleIntercept = value

    return edit


def scores(result):
    return [
        [getattr(score, stage).of(name) for name in LABEL_NAMES]
        for stage in ("stage_one", "stage_two")
        for score in result.slices
    ]


@pytest.mark.parametrize(
    "options", [ReadOptions(), ReadOptions(allow_incomplete=True)], ids=["usual", "allow incomplete"]
)
@pytest.mark.parametrize("missing", [range(0), range(4, 14)], ids=["whole", "torn"])
def test_no_score_from_a_wrong_intercept_whatever_is_let_pass(network, tmp_path, options, missing):
    paths = make_series(tmp_path, 20, intercept_of(range(20), "0"))
    for index in missing:
        paths[index].unlink()
    with pytest.raises(SeriesRefusedError) as caught:
        ich_seq.score_study(tmp_path, network, options=options)
    wanted = "E-INCOMPLETE" if missing and not options.allow_incomplete else "E-HU-IMPLAUSIBLE"
    assert caught.value.code == wanted


@pytest.mark.parametrize("at", [0, 7, 19])
def test_a_slice_that_does_not_fit_is_scored_as_if_its_file_were_absent(network, tmp_path, at):
    make_series(tmp_path / "wrong", 20, intercept_of([at], "0"))
    make_series(tmp_path / "absent", 20)[at].unlink()
    found, wanted = (ich_seq.score_study(tmp_path / name, network) for name in ("wrong", "absent"))
    assert len(found.slices) == 19
    # Stage one reads chunks of eight: the slice is in one of them, and sums in another order differ in the last bits.
    np.testing.assert_allclose(scores(found), scores(wanted), atol=1e-6)
    assert [score.sop_instance_uid for score in found.slices] == [score.sop_instance_uid for score in wanted.slices]
    assert found.status is Status.INCOMPLETE
    assert {score.reading for score in found.scan} == {"indeterminate"}
    assert "W-RESCALE-OUTLIER" in {item.code for item in found.findings}


def test_strict_refuses_what_is_seen_only_in_the_values(network, tmp_path):
    make_series(tmp_path, 20, intercept_of([7], "0"))
    with pytest.raises(SeriesRefusedError, match="strict.*W-RESCALE-OUTLIER"):
        ich_seq.score_study(tmp_path, network, options=ReadOptions(strict=True))


def volume_of(hu, tmp_path):
    """The series of the factory as NIfTI, its HU changed."""
    make_series(tmp_path / "dicom", 20)
    image = nibabel.load(nifti_of(tmp_path / "dicom", tmp_path / "plain.nii"))
    values = np.stack([hu(ramp_hu(index)).T for index in range(20)], axis=2)
    nibabel.save(nibabel.Nifti1Image(values.astype(np.int16), image.affine), tmp_path / "a.nii")
    return NiftiVolume(tmp_path / "a.nii")


def inside_a_circle(hu):
    y, x = np.mgrid[:64, :80]
    return np.where((y - 31.5) ** 2 + (x - 39.5) ** 2 > 40**2, -3024, hu)


@pytest.mark.parametrize(
    ("hu", "refused", "warned"),
    [
        (lambda hu: hu, None, set()),
        (inside_a_circle, None, set()),
        (lambda hu: hu - 1024, "E-HU-IMPLAUSIBLE", {"E-HU-IMPLAUSIBLE"}),
        (lambda hu: 2 * hu, "E-HU-IMPLAUSIBLE", {"E-HU-IMPLAUSIBLE"}),
        (lambda hu: np.where(hu > 300, 40 + hu % 30, hu), "E-HU-IMPLAUSIBLE", {"E-HU-IMPLAUSIBLE"}),
        (lambda hu: np.where(hu < -800, -400, hu), None, {"W-NO-AIR"}),
        (lambda hu: np.clip(hu, -100, 300), None, {"W-NO-AIR"}),
    ],
    ids=["a head", "padded", "intercept twice", "slope twice", "no bone", "no air", "windowed"],
)
def test_a_nifti_volume_is_judged_alike_but_may_lack_its_air(tmp_path, hu, refused, warned):
    """What has no value as low as air was clipped or cut out on purpose, and is warned of, as ever."""
    volume = volume_of(hu, tmp_path)
    assert getattr(volume.refusal, "code", None) == refused
    said = {item.code.value for item in volume.findings}
    assert said & {"E-HU-IMPLAUSIBLE", "W-HU-IMPLAUSIBLE", "W-NO-AIR"} == warned
