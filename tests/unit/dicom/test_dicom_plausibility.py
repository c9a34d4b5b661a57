"""Shares of air, fat, soft tissue and bone: counted by hand, judged, and compared from slice to slice."""

import numpy as np
import pytest
from dicom_factory import INTERCEPT, make_series, ramp_hu, set_pixels
from hypothesis import given
from hypothesis import strategies as st

from ich_seq.dicom import AS_IT_IS, Code, ReadOptions, read_study_files
from ich_seq.dicom.plausibility import HuCounts, SliceValues, count_hu, is_usual, judge, rescale_outliers
from ich_seq.errors import IncompleteSeriesError, SeriesRefusedError
from ich_seq.phantom.cohort import write_cohort
from ich_seq.phantom.spec import CohortSpec
from ich_seq.volume import Volume

HEAD = HuCounts((0, 600, 60, 250, 20, 70))
"""Per mille: 600 of the image are air; of the body, 400, fat is .15, soft tissue .625, dense .05, bone .175."""


def settled(folder, options=AS_IT_IS):
    (study,) = read_study_files([folder], options=options).studies
    assert study.chosen is not None, study.refusal
    volume = Volume(study.chosen)
    for _ in volume.read():
        pass
    return volume.settled()


def codes(volume):
    return {item.code.value for item in volume.findings} - {"N-MATRIX"}


def whole(change):
    """Another intercept, slope or pixels in every slice; `change(dataset)`."""
    return lambda dataset, _index: change(dataset)


def test_each_class_begins_at_its_lowest_hu():
    hu = np.array([[-1101, -1100, -801, -800, -21, -20], [89, 90, 299, 300, 3000, -5000]], np.float32)
    assert count_hu(hu, 0).pixels == (2, 2, 2, 2, 2, 2)


def test_padding_is_no_air():
    hu = np.full((4, 5), -1024, np.float32)
    hu[0] = 40
    assert count_hu(hu, 15).pixels == (0, 0, 0, 5, 0, 0)


def test_a_head_is_plausible():
    assert judge([HEAD] * 20) is None
    assert is_usual([HEAD] * 20)


@pytest.mark.parametrize(
    ("counts", "code", "words"),
    [
        ((30, 570, 60, 250, 20, 70), "W-HU-IMPLAUSIBLE", "below air 3.0% of the image"),
        ((120, 480, 60, 250, 20, 70), "E-HU-IMPLAUSIBLE", "below air 12.0% of the image"),
        ((0, 140, 120, 560, 40, 140), "W-HU-IMPLAUSIBLE", "air 14.0% of the image"),
        ((0, 40, 120, 630, 50, 160), "E-HU-IMPLAUSIBLE", "air 4.0% of the image"),
        ((0, 960, 8, 24, 2, 6), "W-HU-IMPLAUSIBLE", "air 96.0% of the image"),
        ((0, 600, 240, 90, 20, 50), "W-HU-IMPLAUSIBLE", "fat 60.0% of the body"),
        ((0, 600, 270, 60, 20, 50), "E-HU-IMPLAUSIBLE", "fat 67.5% of the body"),
        ((0, 600, 180, 20, 80, 120), "W-HU-IMPLAUSIBLE", "soft tissue 5.0% of the body"),
        ((0, 600, 200, 12, 80, 108), "E-HU-IMPLAUSIBLE", "soft tissue 3.0% of the body"),
        ((0, 600, 60, 150, 120, 70), "W-HU-IMPLAUSIBLE", "dense 30.0% of the body"),
        ((0, 600, 60, 110, 160, 70), "E-HU-IMPLAUSIBLE", "dense 40.0% of the body"),
        ((0, 600, 90, 278, 20, 12), "W-HU-IMPLAUSIBLE", "bone 3.0% of the body"),
        ((0, 600, 90, 286, 20, 4), "E-HU-IMPLAUSIBLE", "bone 1.0% of the body"),
        ((0, 600, 60, 120, 0, 220), "E-HU-IMPLAUSIBLE", "bone 55.0% of the body"),
    ],
)
def test_a_share_just_outside_warns_and_one_far_outside_refuses(counts, code, words):
    found = judge([HuCounts(counts)] * 5)
    assert found is not None
    assert found.code.value == code
    assert found.message.endswith(f": {words}")
    assert not is_usual([HuCounts(counts)] * 5)


def test_few_slices_may_be_the_vertex_but_no_wrong_intercept():
    vertex = HuCounts((0, 970, 25, 4, 1, 0))
    assert judge([vertex]) is None
    assert judge([vertex] * 5).code is Code.E_HU_IMPLAUSIBLE
    assert judge([HuCounts((0, 0, 0, 954, 20, 26))]).code is Code.E_HU_IMPLAUSIBLE  # the same with its intercept lost
    below_the_vertex = HuCounts((0, 750, 190, 55, 3, 2))  # fat .76 of a body that is a quarter of the image
    assert judge([below_the_vertex]).code is Code.E_HU_IMPLAUSIBLE


def test_an_image_of_air_alone_is_not_judged_by_what_it_consists_of():
    assert judge([HuCounts((0, 995, 0, 5, 0, 0))]) is None
    assert judge([HuCounts((0, 0, 0, 0, 0, 0))]) is None  # nothing but padding


def of(*counts, stored_as=None):
    """Slices with these classes; `stored_as` names those whose header makes HU in another way."""
    return [SliceValues(HuCounts(c), (stored_as or {}).get(i, 0), 0.5) for i, c in enumerate(counts)]


LOST = (0, 0, 0, 600, 0, 400)
"""A head with its intercept lost: air is water, the rest bone."""
OTHER = (0, 600, 60, 50, 220, 70)
"""Brain 100 HU too high: half of 200 + 200 of 1000 pixels apart, a distance of .20."""
H = HEAD.pixels


@pytest.mark.parametrize("at", range(6))
def test_a_slice_unlike_its_neighbours_is_found_wherever_it_lies(at):
    slices = [H] * 6
    slices[at] = LOST
    assert rescale_outliers(of(*slices)) == [at]


def test_several_are_found_together_and_apart():
    assert rescale_outliers(of(H, LOST, LOST, H, H, H, LOST, H)) == [1, 2, 6]


def test_a_step_of_a_fifth_counts_only_where_the_header_differs():
    assert rescale_outliers(of(H, H, OTHER, H, H)) == []
    assert rescale_outliers(of(H, H, OTHER, H, H, stored_as={2: 1})) == [2]
    assert rescale_outliers(of(H, H, H, H, H, stored_as={2: 1})) == []  # legal: its HU go on


def test_of_two_halves_the_plausible_one_is_believed():
    assert rescale_outliers(of(H, H, LOST, LOST, LOST)) == [2, 3, 4]


def test_shares_that_change_slowly_are_anatomy():
    slices = [(0, 500 + 10 * k, 60, 370 - 10 * k, 20, 50) for k in range(38)]
    assert rescale_outliers(of(*slices)) == []


def test_a_smaller_field_of_view_with_the_same_head_in_it_goes_on():
    near = SliceValues(HuCounts((0, 100, 60, 250, 20, 70)), 0, 0.25)
    far = SliceValues(HEAD, 0, 0.5)
    assert rescale_outliers([far, far, near, far]) == []
    same_field = SliceValues(near.counts, 0, 0.5)
    assert rescale_outliers([far, far, same_field, far]) == [2]  # 350 of 1000 pixels apart


@given(st.lists(st.sampled_from([H, LOST, OTHER]), max_size=12))
def test_some_slice_is_always_believed_and_those_left_go_on_from_each_other(slices):
    found = rescale_outliers(of(*slices))
    assert len(found) < max(1, len(slices))
    assert found == sorted(set(found))
    assert rescale_outliers(of(*(each for index, each in enumerate(slices) if index not in found))) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda d: setattr(d, "RescaleIntercept", "0"),
        lambda d: setattr(d, "RescaleIntercept", "-2048"),
        lambda d: setattr(d, "RescaleSlope", "2"),
        lambda d: setattr(d, "RescaleSlope", "0.5"),
        lambda d: setattr(d, "PixelData", np.frombuffer(d.PixelData, "<u2").byteswap().tobytes()),
        lambda d: setattr(d, "PixelData", (4095 - np.frombuffer(d.PixelData, "<u2")).tobytes()),
        lambda d: setattr(d, "HighBit", 15),
    ],
    ids=["intercept lost", "intercept twice", "slope twice", "slope halved", "bytes swapped", "inverted", "high bit"],
)
def test_wrong_values_in_every_slice_refuse_the_series(tmp_path, change):
    make_series(tmp_path, 24, whole(change))
    volume = settled(tmp_path)
    assert isinstance(volume.refusal, SeriesRefusedError)
    assert volume.refusal.code == "E-HU-IMPLAUSIBLE"
    assert "E-HU-IMPLAUSIBLE" in codes(volume)


def test_signed_values_read_as_unsigned_refuse_the_series(tmp_path):
    def unsigned(dataset, index):
        set_pixels(dataset, ramp_hu(index), signed=True)
        dataset.PixelRepresentation = 0

    make_series(tmp_path, 24, unsigned)
    assert getattr(settled(tmp_path).refusal, "code", None) == "E-HU-IMPLAUSIBLE"


def test_a_series_wrapped_around_12_bits_is_unwrapped_warned_of_and_judged(tmp_path):
    def wrapped(dataset, index):
        dataset.PixelData = (ramp_hu(index).astype(int) % 4096).astype(np.uint16).tobytes()
        dataset.RescaleIntercept = "0"

    make_series(tmp_path, 24, wrapped)
    volume = settled(tmp_path)
    assert (codes(volume), volume.refusal) == ({"W-WRAPPED-12BIT"}, None)
    np.testing.assert_array_equal(volume.array(), [ramp_hu(s) for s in range(24)])


def test_a_clean_series_is_settled_as_it_is(tmp_path):
    make_series(tmp_path, 24)
    volume = settled(tmp_path)
    assert (codes(volume), volume.refusal, len(volume)) == (set(), None, 24)


@pytest.mark.parametrize(("seed", "matrix", "slices"), [(11, 64, 12), (12, 96, 8)])
def test_synthetic_heads_are_plausible(tmp_path, seed, matrix, slices):
    spec = {"studies": 1, "seed": seed, "slices": (slices, slices), "matrices": (matrix,)}
    write_cohort(CohortSpec.model_validate(spec), tmp_path / "out")
    volume = settled(tmp_path / "out" / "stage_2_train")
    assert volume.refusal is None
    assert not codes(volume) & {"W-HU-IMPLAUSIBLE", "W-RESCALE-OUTLIER"}


def test_monochrome1_is_judged_by_its_values(tmp_path):
    def inverted(dataset, _index):
        dataset.PhotometricInterpretation = "MONOCHROME1"

    make_series(tmp_path / "said", 24, inverted)
    volume = settled(tmp_path / "said")
    assert (codes(volume), volume.refusal) == ({"N-MONOCHROME1"}, None)


@pytest.mark.parametrize("at", [0, 11, 23])
def test_a_slice_with_another_intercept_is_left_out_and_the_gap_judged(tmp_path, at):
    def lost(dataset, index):
        if index == at:
            dataset.RescaleIntercept = "0"

    make_series(tmp_path, 24, lost)
    volume = settled(tmp_path)
    found = next(item for item in volume.findings if item.code is Code.W_RESCALE_OUTLIER)
    assert (len(volume), found.count, found.positions_mm) == (23, 1, (pytest.approx(50.0 + 5 * at),))
    more = {0: {"W-SHORT-COVERAGE"}, 11: {"W-SLICE-GAP"}}  # InstanceNumber then begins with 2
    assert codes(volume) == {"W-RESCALE-OUTLIER"} | more.get(at, set())
    assert volume.refusal is None
    np.testing.assert_array_equal(volume[0], ramp_hu(1 if at == 0 else 0))


def test_another_intercept_whose_hu_go_on_is_legal(tmp_path):
    def alternating(dataset, index):
        set_pixels(dataset, ramp_hu(index), signed=index % 2 == 1)

    make_series(tmp_path, 24, alternating)
    volume = settled(tmp_path)
    assert (codes(volume), len(volume)) == (set(), 24)


def test_too_many_slices_that_do_not_fit_refuse_what_is_left(tmp_path):
    """Three at the top of 24 leave no gap, and are 12 %."""

    def lost(dataset, index):
        if index > 20:
            dataset.RescaleIntercept = "0"

    make_series(tmp_path, 24, lost)
    volume = settled(tmp_path)
    assert isinstance(volume.refusal, IncompleteSeriesError)
    assert "3 of 24 slices do not fit the others" in volume.refusal.message
    assert codes(volume) == {"E-INCOMPLETE", "W-RESCALE-OUTLIER"}
    assert len(volume) == 21


def test_an_empty_slice_is_pointed_out_and_stays(tmp_path):
    def empty(dataset, index):
        if index == 10:
            set_pixels(dataset, np.full((64, 80), -1000.0))

    make_series(tmp_path, 24, empty)
    volume = settled(tmp_path)
    assert (codes(volume), len(volume)) == ({"W-EMPTY-SLICE"}, 24)


def test_judging_twice_says_the_same(tmp_path):
    make_series(tmp_path, 24, whole(lambda d: setattr(d, "RescaleIntercept", "0")))
    once = settled(tmp_path)
    again = once.settled()
    assert [str(item) for item in again.findings] == [str(item) for item in once.findings]


def without_rescale(intercept):
    """Values that are HU + `-intercept`, stored with nothing that says so."""

    def edit(dataset, index):
        stored = ramp_hu(index) - intercept
        dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = 1, 16, 15
        dataset.PixelData = stored.astype(np.int16).tobytes()
        del dataset.RescaleSlope, dataset.RescaleIntercept

    return edit


def test_values_that_are_hu_as_they_are_need_no_rescale(tmp_path):
    make_series(tmp_path, 24, without_rescale(0))
    volume = settled(tmp_path)
    assert (codes(volume), volume.refusal) == ({"W-NO-RESCALE"}, None)
    np.testing.assert_array_equal(volume[5], ramp_hu(5))


def test_values_that_are_no_hu_without_rescale_are_refused(tmp_path):
    make_series(tmp_path, 24, without_rescale(INTERCEPT))
    volume = settled(tmp_path)
    assert isinstance(volume.refusal, SeriesRefusedError)
    assert volume.refusal.code == "E-NO-RESCALE"
    assert codes(volume) == {"E-NO-RESCALE"}


@pytest.mark.parametrize(
    ("assumed", "refused"), [(-1024.0, None), (0.0, "E-HU-IMPLAUSIBLE"), (1000.0, "E-HU-IMPLAUSIBLE")]
)
def test_an_assumed_intercept_is_used_warned_of_and_judged(tmp_path, assumed, refused):
    make_series(tmp_path, 24, without_rescale(INTERCEPT))
    volume = settled(tmp_path, ReadOptions(assumed_intercept_hu=assumed))
    assert getattr(volume.refusal, "code", None) == refused
    assert "W-ASSUMED-INTERCEPT" in codes(volume)
    if refused is None:
        np.testing.assert_array_equal(volume[5], ramp_hu(5))


def test_a_series_with_a_rescale_is_preferred_to_one_without(tmp_path):
    def same_study(dataset, _index):
        dataset.StudyInstanceUID, dataset.ConvolutionKernel = "1.2.3", "H70s"

    def both(dataset, index):
        same_study(dataset, index)
        without_rescale(0)(dataset, index)
        dataset.ConvolutionKernel = "H31s"

    make_series(tmp_path, 24, both, uid_seed="a")
    make_series(tmp_path, 20, same_study, uid_seed="b")
    (study,) = read_study_files([tmp_path]).studies
    assert study.chosen is not None
    assert len(study.chosen) == 20
    assert [item.reason for item in study.candidates if not item.chosen] == ["no rescale stated"]


def chest(dataset, _index):
    dataset.BodyPartExamined = "CHEST"


def test_another_body_part_in_the_header_alone_is_a_warning(tmp_path):
    make_series(tmp_path, 24, chest)
    volume = settled(tmp_path)
    assert (codes(volume), volume.refusal) == ({"W-MAYBE-NOT-HEAD"}, None)


def test_another_body_part_and_more_than_a_head_is_refused(tmp_path):
    make_series(tmp_path, 63, chest)  # 63 x 5 mm = 315 mm
    volume = settled(tmp_path)
    assert getattr(volume.refusal, "code", None) == "E-NOT-HEAD"
    assert "315 mm covered" in volume.refusal.message


def test_another_body_part_and_unusual_values_are_refused(tmp_path):
    def soft(dataset, index):
        chest(dataset, index)
        hu = ramp_hu(index)
        set_pixels(dataset, np.where(hu > 300, 40, hu))  # no bone

    make_series(tmp_path, 24, soft)
    volume = settled(tmp_path)
    assert getattr(volume.refusal, "code", None) == "E-NOT-HEAD"
    assert "bone 0.0% of the body" in volume.refusal.message


def test_8_bit_pixels_are_warned_of_and_judged(tmp_path):
    """A grey picture of 8 bits with a rescale of its own: window 0 to 255 has no air."""

    def eight_bits(dataset, index):
        grey = np.clip(ramp_hu(index), 0, 255).astype(np.uint8)
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.RescaleIntercept = 7, "0"
        dataset.PixelData = grey.tobytes()
        dataset["PixelData"].VR = "OB"

    make_series(tmp_path, 24, eight_bits)
    volume = settled(tmp_path)
    assert codes(volume) == {"W-8BIT", "E-HU-IMPLAUSIBLE"}
    assert getattr(volume.refusal, "code", None) == "E-HU-IMPLAUSIBLE"
