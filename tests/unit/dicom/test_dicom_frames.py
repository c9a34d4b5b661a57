"""Enhanced multi-frame CT: where its facts may stand, and frames that must not be mixed."""

import numpy as np
import pydicom
import pytest
from dicom_factory import INTERCEPT, make_multiframe, make_series, ramp_hu
from pydicom.dataset import Dataset

from ich_seq.dicom import read_study_files
from ich_seq.errors import SeriesRefusedError
from ich_seq.volume import Volume

SLICES = 6


@pytest.fixture
def enhanced(tmp_path):
    """One file whose orientation, spacing and rescale are shared."""
    return make_multiframe(tmp_path / "multi" / "enhanced.dcm", SLICES)


def study_of(path):
    (study,) = read_study_files([path.parent]).studies
    return study


def volume_of(path):
    chosen = study_of(path).chosen
    assert chosen is not None
    return Volume(chosen)


def codes(path):
    return {item.code.value for item in volume_of(path).findings}


def item(**values):
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return [made]


def changed(path, change):
    """The file with its data set changed: `change(dataset)`."""
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path)
    return path


def twice(dataset, second_hu, **contents):
    """Every frame a second time right after the first, higher by `second_hu`; `contents` of both by turns."""
    frame_bytes = len(dataset.PixelData) // SLICES
    frames = [dataset.PixelData[i * frame_bytes :][:frame_bytes] for i in range(SLICES)]
    pixels, groups = [], []
    for frame, own in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        for turn in range(2):
            stored = np.frombuffer(frame, np.uint16) + np.uint16(second_hu * turn)
            pixels.append(stored.tobytes())
            group = Dataset()
            group.PlanePositionSequence = own.PlanePositionSequence
            group.FrameContentSequence = item(**{keyword: values[turn] for keyword, values in contents.items()})
            groups.append(group)
    dataset.NumberOfFrames, dataset.PixelData = 2 * SLICES, b"".join(pixels)
    dataset.PerFrameFunctionalGroupsSequence = groups


def test_groups_per_frame_say_the_same_as_shared_ones(enhanced, tmp_path):
    def unshare(dataset):
        (shared,) = dataset.SharedFunctionalGroupsSequence
        for own in dataset.PerFrameFunctionalGroupsSequence:
            own.update(shared)
        del dataset.SharedFunctionalGroupsSequence

    make_series(tmp_path / "single", SLICES)
    wanted = Volume(study_of(tmp_path / "single" / "any").chosen).pixel_digest()
    assert volume_of(changed(enhanced, unshare)).pixel_digest() == wanted


def test_a_frames_own_rescale_comes_before_the_shared_one(enhanced):
    def own_rescale(dataset):
        frame = dataset.PerFrameFunctionalGroupsSequence[3]
        frame.PixelValueTransformationSequence = item(RescaleSlope="1", RescaleIntercept="-1000", RescaleType="HU")

    volume = volume_of(changed(enhanced, own_rescale))
    np.testing.assert_array_equal(volume[3], ramp_hu(3) - 1000 - INTERCEPT)
    np.testing.assert_array_equal(volume[2], ramp_hu(2))


@pytest.mark.parametrize(
    "contents",
    [
        {"TemporalPositionIndex": (1, 2)},
        {"StackID": ("1", "2")},
        {"FrameAcquisitionNumber": (1, 2)},
        {"StackID": ("a", "a"), "TemporalPositionIndex": (7, 9), "FrameAcquisitionNumber": (1, 1)},
    ],
    ids="+".join,
)
def test_two_frames_a_position_are_two_acquisitions_of_which_one_is_taken_whole(enhanced, contents):
    changed(enhanced, lambda dataset: twice(dataset, 100, **contents))
    volume = volume_of(enhanced)
    np.testing.assert_array_equal(volume.array(), [ramp_hu(index) for index in range(SLICES)])
    assert "W-MULTI-ACQUISITION" in codes(enhanced)


def test_two_frames_a_position_that_nothing_tells_apart_are_refused(enhanced):
    changed(enhanced, lambda dataset: twice(dataset, 100, FrameAcquisitionNumber=(1, 1)))
    refusal = study_of(enhanced).refusal
    assert isinstance(refusal, SeriesRefusedError)
    assert refusal.code == "E-CONFLICTING-SLICES"


@pytest.mark.parametrize(
    ("group", "values", "code"),
    [
        ("CTReconstructionSequence", {"ConvolutionKernel": "BONE"}, "W-BONE-KERNEL"),
        ("CTReconstructionSequence", {"ConvolutionKernel": ["BONE", "2"]}, "W-BONE-KERNEL"),
        ("ContrastBolusUsageSequence", {"ContrastBolusAgentAdministered": "YES"}, "W-CONTRAST"),
        ("CTImageFrameTypeSequence", {"FrameType": ["DERIVED", "PRIMARY", "VOLUME", "MPR"]}, "W-DERIVED-AXIAL"),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_what_the_groups_say_of_the_content_is_passed_on(enhanced, shared, group, values, code):
    def said(dataset):
        holders = dataset.SharedFunctionalGroupsSequence if shared else dataset.PerFrameFunctionalGroupsSequence
        for holder in holders:
            setattr(holder, group, item(**values))

    assert code not in codes(enhanced)
    assert code in codes(changed(enhanced, said))


def test_frames_that_are_no_hu_refuse_the_series(enhanced):
    def energy(dataset):
        dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[0].RescaleType = "Z_EFF"

    refusal = study_of(changed(enhanced, energy)).refusal
    assert isinstance(refusal, SeriesRefusedError)
    assert refusal.code == "E-NOT-HU"


@pytest.mark.parametrize("values", [{"SliceThickness": "nan"}, {"SliceThickness": "0"}, {}])
def test_a_thickness_that_is_none_is_no_fault(enhanced, values):
    def odd(dataset):
        measures = item(PixelSpacing=[0.5, 0.5])
        with pydicom.config.disable_value_validation():
            for keyword, value in values.items():
                setattr(measures[0], keyword, value)
        dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = measures

    volume = volume_of(changed(enhanced, odd))
    assert len(volume) == SLICES
    assert volume.stack.spacing_mm == pytest.approx(5.0)
