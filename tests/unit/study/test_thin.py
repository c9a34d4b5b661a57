"""Thin slices in groups of about 5 mm: which slices belong together, what their mean is, and what it is called."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from dicom_factory import make_series, ramp_hu
from hypothesis import given
from hypothesis import strategies as st
from nifti_copies import nifti_of

from ich_seq.dicom import read_study_files
from ich_seq.dicom.spacing import analyse_spacing
from ich_seq.nifti import NiftiVolume
from ich_seq.study.thin import ThinScan, as_the_model_knows, averaged_uids, lowest_mm, plan_groups
from ich_seq.volume import SliceStack, Volume

SIZE = (64, 64)


def volume_of(folder):
    (study,) = read_study_files([folder]).studies
    assert study.chosen is not None
    return Volume(study.chosen)


def stack_of(positions, thickness=None):
    spacing = analyse_spacing(positions, thickness or [None] * len(positions))
    gaps = tuple((gap.after_mm, gap.gap_mm) for gap in spacing.gaps)
    return SliceStack(64, 64, spacing.spacing_mm, positions[-1] - positions[0] + spacing.spacing_mm, 0.0, gaps)


@pytest.fixture(scope="module")
def thin_folder(tmp_path_factory):
    """160 slices 1.25 mm apart: 200 mm."""
    folder = tmp_path_factory.mktemp("thin")
    make_series(folder, slices=160, size=SIZE, spacing_mm=1.25)
    return folder


def test_eight_slices_of_five_eighths_of_a_millimetre_make_five():
    positions = [30 + 0.625 * index for index in range(200)]
    assert plan_groups(positions, stack_of(positions)) == [range(8 * n, 8 * n + 8) for n in range(25)]


def test_there_is_no_remainder_but_parts_as_near_to_five_as_can_be():
    positions = [0.6 * index for index in range(203)]
    groups = plan_groups(positions, stack_of(positions))
    # by hand: 203 x 0.6 = 121.8 mm in 24 parts of 5.075 mm, each of 8 or 9 slices
    assert len(groups) == 24
    assert {len(group) for group in groups} == {8, 9}


def test_no_group_spans_a_gap_and_each_stretch_is_counted_from_its_feet():
    positions = [1.0 * index for index in range(160) if not 62 <= index < 66]
    groups = plan_groups(positions, stack_of(positions))
    # by hand: 62 slices in 12 parts of 5.17 mm; from 66 mm on 94 slices in 19 parts of 4.95 mm
    assert len(groups) == 12 + 19
    assert (groups[11].stop, groups[12].start) == (62, 62)
    assert {len(group) for group in groups[:12]} == {5, 6}
    assert {len(group) for group in groups[12:]} == {4, 5}


def test_slices_that_are_thick_enough_stay_alone_beside_thin_ones():
    positions = [*(1.0 * index for index in range(150)), *(154.0 + 5 * index for index in range(10))]
    thickness = [1.0] * 150 + [5.0] * 10
    groups = plan_groups(positions, stack_of(positions, thickness))
    assert {len(group) for group in groups[:29]} == {5}
    assert all(len(group) == 1 for group in groups[-9:])


@given(
    st.lists(st.sampled_from([0.3, 0.5, 0.625, 1.0, 1.25, 2.0, 12.0]), min_size=1, max_size=60),
    st.floats(-500, 500),
)
def test_groups_are_all_slices_in_order_and_none_is_longer_than_half_as_much_again(steps, first):
    positions = [first, *(first + np.cumsum(steps)).tolist()]
    stack = stack_of(positions)
    groups = plan_groups(positions, stack)
    assert [index for group in groups for index in group] == list(range(len(positions)))
    ends = [positions[0] + after for after, _ in stack.gaps]
    for group in groups:
        bottom, top = positions[group.start], positions[group.stop - 1]
        assert top - bottom <= 7.5 + 1e-6  # one part is at most 1.5 x 5 mm: of 7.5 mm and more two are made
        assert not any(bottom <= end + 1e-6 and end + 1e-6 < top for end in ends)


def test_the_mean_is_of_hu_and_called_after_the_middle_slice(thin_folder):
    thin = volume_of(thin_folder)
    scan = as_the_model_knows(thin)
    assert isinstance(scan, ThinScan)
    read = list(scan.read())
    assert [number for number, _ in read] == list(range(40))
    for number, hu in read:
        # by hand: the ramp grows by 7 HU a slice, so four of them have the mean of the first + 10.5
        np.testing.assert_array_equal(hu, ramp_hu(4 * number, *SIZE) + np.float32(10.5))
        np.testing.assert_array_equal(scan[number], hu)
    assert read[0][1].dtype == np.float32
    assert scan.settled() is scan
    assert scan.positions_mm == tuple(thin.positions_mm[1::4])
    assert scan.sop_instance_uids == thin.sop_instance_uids[1::4]
    assert scan.image_positions_patient == thin.image_positions_patient[1::4]
    assert sum(averaged_uids(scan), ()) == thin.sop_instance_uids
    assert {len(names) for names in averaged_uids(scan)} == {4}
    assert lowest_mm(scan) == thin.positions_mm[0]


def test_geometry_but_for_the_step_and_the_digest_are_those_of_the_thin_slices(thin_folder):
    thin = volume_of(thin_folder)
    scan = as_the_model_knows(thin)
    list(scan.read())
    assert scan.stack.spacing_mm == pytest.approx(5.0)
    assert scan.stack.coverage_mm == pytest.approx(200.0)
    assert scan.pixel_digest() == volume_of(thin_folder).pixel_digest()
    assert (
        "N-THIN-SERIES: Thin slices were averaged to the thickness that the model knows: 160 slices 1.25 mm apart as 40 of 5.0 mm"
        in {str(found) for found in scan.findings}
    )


def test_no_more_than_a_few_slices_are_in_memory_at_once(thin_folder):
    """All 160 would take 2.6 MB, their 40 means 655 kB."""
    scan = as_the_model_knows(volume_of(thin_folder))
    next(iter(scan.read()))  # what is loaded once
    tracemalloc.start()
    try:
        means = sum(1 for _ in scan.read())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert means == 40
    assert peak < 16 * 64 * 64 * 4  # a file, a slice, the sum, the mean, and small things


@pytest.mark.parametrize(("slices", "spacing_mm"), [(150, 1.0), (151, 2.5), (24, 5.0)])
def test_other_scans_are_left_as_they_are(tmp_path, slices, spacing_mm):
    make_series(tmp_path, slices=slices, size=SIZE, spacing_mm=spacing_mm)
    volume = volume_of(tmp_path)
    assert as_the_model_knows(volume) is volume
    assert set(averaged_uids(volume)) == {()}
    assert lowest_mm(volume) == volume.positions_mm[0]


def test_padding_stays_air(tmp_path):
    def padded(dataset, index):
        hu = ramp_hu(index, *SIZE)
        hu[:, :10] = -3024
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 15, 1
        dataset.RescaleIntercept = "0"
        dataset.PixelData = hu.astype(np.int16).tobytes()

    make_series(tmp_path, 156, padded, size=SIZE, spacing_mm=0.7)
    means = [hu for _, hu in as_the_model_knows(volume_of(tmp_path)).read()]
    assert len(means) == 22  # 109.2 mm
    assert all((hu[:, :10] == -1024).all() and (hu[:, 10:] > -100).all() for hu in means)


def test_a_slice_that_cannot_be_decoded_ends_its_group(tmp_path):
    paths = make_series(tmp_path, 160, size=SIZE, spacing_mm=1.25, syntax="jpegls")
    raw = paths[42].read_bytes()
    end = raw.rindex(b"\xff\xd9")
    paths[42].write_bytes(raw[:end] + bytes(2) + raw[end + 2 :])
    scan = as_the_model_knows(volume_of(tmp_path))
    means = dict(scan.read())
    settled = scan.settled()
    assert isinstance(settled, ThinScan)
    assert len(settled) == len(means) == 41  # the group of slices 40 to 43 became two
    np.testing.assert_array_equal(means[10], (ramp_hu(40, *SIZE) + ramp_hu(41, *SIZE)) / 2)
    np.testing.assert_array_equal(means[11], ramp_hu(43, *SIZE))
    for number, hu in means.items():
        np.testing.assert_array_equal(settled[number], hu)
    assert [len(names) for names in settled.averaged_uids][9:13] == [4, 2, 1, 4]
    assert settled.stack.gaps == (pytest.approx((41 * 1.25, 2.5)),)
    assert {"D-TRUNCATED", "W-SLICE-GAP", "N-THIN-SERIES"} <= {found.code.value for found in settled.findings}
    # across the gap there is no step of the stack
    assert settled.stack.spacing_mm == pytest.approx(5.0)
    assert all(a < b for a, b in pairwise(settled.positions_mm))


def test_a_thin_nifti_volume_is_averaged_alike(thin_folder, tmp_path):
    scan = as_the_model_knows(NiftiVolume(nifti_of(thin_folder, tmp_path / "thin.nii.gz")))
    of_dicom = as_the_model_knows(volume_of(thin_folder))
    for (_, mine), (_, theirs) in zip(scan.read(), of_dicom.read(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert scan.settled() is scan
    assert scan.sop_instance_uids[0].endswith("#1")
