"""Series that do not say where their slices lie."""

import numpy as np
import pytest
from dicom_factory import make_series, ramp_hu
from dicom_findings import codes_in, message_of, refusal_code_in, series_in

from ich_seq.dicom import AS_IT_IS, ReadOptions
from ich_seq.volume import Volume

TRUSTING = ReadOptions(trust_instance_number=True)


def head(folder, edit):
    """Twelve slices, 10 mm apart: a head without anything to say but what the edit does."""
    return make_series(folder, 12, edit, spacing_mm=10.0)


def edited(*absent, **values):
    """An edit that removes some elements and sets others; a callable value is given the slice's index."""

    def edit(dataset, index):
        for keyword in absent:
            delattr(dataset, keyword)
        for keyword, value in values.items():
            setattr(dataset, keyword, value(index) if callable(value) else value)

    return edit


def in_the_sixth(edit):
    """The edit in one slice of many."""

    def in_one(dataset, index):
        if index == 5:
            edit(dataset, index)

    return in_one


def bone_values(folder, options=AS_IT_IS):
    """HU of one voxel of bone in each slice, feet to head: 400 + 7 a slice + 1 a column in the factory."""
    return [float(hu[8, 8]) for hu in Volume(series_in(folder, options))]


def test_slice_location_stands_in_for_missing_positions_with_a_warning(tmp_path):
    head(tmp_path, edited("ImagePositionPatient", SliceLocation=lambda i: -30.0 + 10 * i))
    series = series_in(tmp_path)
    assert codes_in(tmp_path) == {"W-NO-POSITION"}
    assert series.positions_mm == pytest.approx([-30.0 + 10 * i for i in range(12)])
    assert bone_values(tmp_path) == [408.0 + 7 * i for i in range(12)]


def test_slice_location_may_run_against_instance_number(tmp_path):
    edit = edited("ImagePositionPatient", SliceLocation=lambda i: -30.0 + 10 * i, InstanceNumber=lambda i: 12 - i)
    head(tmp_path, edit)
    assert bone_values(tmp_path) == [408.0 + 7 * i for i in range(12)]


def test_a_slice_missing_among_slice_locations_is_a_gap(tmp_path):
    paths = head(tmp_path, edited("ImagePositionPatient", SliceLocation=lambda i: 10.0 * i))
    paths[5].unlink()
    assert codes_in(tmp_path) == {"W-NO-POSITION", "W-SLICE-GAP"}
    assert series_in(tmp_path).gaps == [pytest.approx((40.0, 20.0))]


@pytest.mark.parametrize(
    "location",
    [
        lambda i: 10.0 * (i % 6),  # each twice
        lambda i: [0.0, 20.0, 10.0][i % 3] + 30 * (i // 3),  # against the numbers
        lambda i: "" if i == 3 else 10.0 * i,  # one without
        lambda i: "1e308" if i == 3 else 10.0 * i,
    ],
    ids=["shared", "not monotone", "absent in one", "absurd in one"],
)
def test_slice_locations_that_contradict_themselves_are_not_believed(tmp_path, location):
    head(tmp_path, edited("ImagePositionPatient", SliceLocation=location))
    assert refusal_code_in(tmp_path) == "E-NO-GEOMETRY"


def test_instance_number_orders_slices_only_where_it_is_trusted(tmp_path):
    head(tmp_path, edited("ImagePositionPatient", SpacingBetweenSlices="4"))
    assert refusal_code_in(tmp_path) == "E-NO-GEOMETRY"
    series = series_in(tmp_path, TRUSTING)
    assert codes_in(tmp_path, TRUSTING) == {"W-NO-POSITION"}
    assert message_of(series.findings, "W-NO-POSITION").endswith("taken from InstanceNumber")
    assert series.positions_mm == pytest.approx([10.0 * (i + 1) for i in range(12)])  # SliceThickness is 10 mm
    assert bone_values(tmp_path, TRUSTING) == [408.0 + 7 * i for i in range(12)]


def test_without_thickness_spacing_between_slices_serves(tmp_path):
    head(tmp_path, edited("ImagePositionPatient", "SliceThickness", SpacingBetweenSlices="4"))
    assert series_in(tmp_path, TRUSTING).spacing_mm == pytest.approx(4.0)


@pytest.mark.parametrize(
    "edit",
    [
        edited("ImagePositionPatient", "InstanceNumber"),
        edited("ImagePositionPatient", InstanceNumber=7),
        edited("ImagePositionPatient", "SliceThickness"),
        edited("ImagePositionPatient", SliceThickness="1e308"),
    ],
    ids=["absent", "all the same", "no thickness", "absurd thickness"],
)
def test_instance_numbers_that_place_nothing_refuse_even_where_trusted(tmp_path, edit):
    make_series(tmp_path, 6, edit)
    assert refusal_code_in(tmp_path, TRUSTING) == "E-NO-GEOMETRY"


def test_a_number_that_is_missing_is_a_gap_where_numbers_are_trusted(tmp_path):
    paths = head(tmp_path, edited("ImagePositionPatient"))
    paths[5].unlink()
    assert codes_in(tmp_path, TRUSTING) == {"W-NO-POSITION", "W-SLICE-GAP"}


def test_slices_stacked_along_the_body_alone_are_axial_without_saying_so(tmp_path):
    head(tmp_path, edited("ImageOrientationPatient"))
    assert codes_in(tmp_path) == {"W-NO-ORIENTATION"}
    np.testing.assert_array_equal(Volume(series_in(tmp_path))[3], ramp_hu(3))


@pytest.mark.parametrize(
    "edit",
    [
        edited("ImageOrientationPatient", ImagePositionPatient=lambda i: [-100, 5.0 * i, 50]),
        edited("ImageOrientationPatient", ImagePositionPatient=lambda i: [-100, 0.5 * i, 5.0 * i]),
        edited("ImageOrientationPatient", ImagePositionPatient=lambda _: [-100, -110, 50]),
        edited("ImageOrientationPatient", PatientPosition="HFP"),
    ],
    ids=["coronal", "tilted", "one place", "prone"],
)
def test_without_orientation_nothing_but_a_plain_axial_stack_is_believed(tmp_path, edit):
    make_series(tmp_path, 6, edit)
    assert refusal_code_in(tmp_path) == "E-NO-GEOMETRY"


def test_without_any_geometry_image_type_must_say_axial_or_the_user_must_trust(tmp_path):
    nothing = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    head(tmp_path / "axial", edited(*nothing, SliceLocation=lambda i: 10.0 * i))
    head(tmp_path / "plain", edited(*nothing, "ImageType", SliceLocation=lambda i: 10.0 * i))
    everything = {"W-NO-POSITION", "W-NO-ORIENTATION", "W-NO-SPACING"}
    assert codes_in(tmp_path / "axial") == everything
    assert refusal_code_in(tmp_path / "plain") == "E-NO-GEOMETRY"
    assert codes_in(tmp_path / "plain", TRUSTING) == everything


def test_without_pixel_spacing_the_field_of_view_is_taken_as_250_mm(tmp_path):
    edit = edited("PixelSpacing", ImagerPixelSpacing=[0.2, 0.2])
    head(tmp_path, edit)
    assert codes_in(tmp_path) == {"W-NO-SPACING"}
    # 80 columns over 250 mm; ImagerPixelSpacing speaks of the detector
    assert Volume(series_in(tmp_path)).pixel_spacing_mm == (3.125, 3.125)


def test_a_slice_without_pixel_spacing_has_that_of_the_others(tmp_path):
    head(tmp_path, in_the_sixth(edited("PixelSpacing")))
    assert codes_in(tmp_path) == {"W-NO-SPACING"}
    assert {header.pixel_spacing_mm for header in series_in(tmp_path).headers} == {(0.5, 0.5)}


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient"])
def test_a_slice_without_the_position_that_others_have_is_left_out(tmp_path, keyword):
    head(tmp_path, in_the_sixth(edited(keyword)))
    assert codes_in(tmp_path) == {"D-NO-POSITION", "W-SLICE-GAP"}
