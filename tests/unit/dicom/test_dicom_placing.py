"""Series that do not say where their slices lie."""

import numpy as np
import pytest
from dicom_factory import make_series, ramp_hu
from dicom_findings import codes_in, message_of, refusal_code_in, series_in

from ich_seq.dicom import AS_IT_IS, ReadOptions
from ich_seq.volume import Volume

TRUSTING = ReadOptions(trust_instance_number=True)


def edited(*absent, **values):
    """An edit that removes some elements and sets others; a callable value is given the slice's index."""

    def edit(dataset, index):
        for keyword in absent:
            delattr(dataset, keyword)
        for keyword, value in values.items():
            setattr(dataset, keyword, value(index) if callable(value) else value)

    return edit


def in_the_eleventh(edit):
    """The edit in one slice of many."""

    def in_one(dataset, index):
        if index == 10:
            edit(dataset, index)

    return in_one


def corner_values(folder, options=AS_IT_IS):
    """HU of the first voxel of each slice, feet to head: -24 + 7 a slice in the factory."""
    return [float(hu[0, 0]) for hu in Volume(series_in(folder, options))]


def test_slice_location_stands_in_for_missing_positions_with_a_warning(tmp_path):
    make_series(tmp_path, 24, edited("ImagePositionPatient", SliceLocation=lambda i: -30.0 + 5 * i))
    series = series_in(tmp_path)
    assert codes_in(tmp_path) == {"W-NO-POSITION"}
    assert series.positions_mm == pytest.approx([-30.0 + 5 * i for i in range(24)])
    assert corner_values(tmp_path) == [-24.0 + 7 * i for i in range(24)]


def test_slice_location_may_run_against_instance_number(tmp_path):
    edit = edited("ImagePositionPatient", SliceLocation=lambda i: -30.0 + 5 * i, InstanceNumber=lambda i: 24 - i)
    make_series(tmp_path, 24, edit)
    assert corner_values(tmp_path) == [-24.0 + 7 * i for i in range(24)]


def test_a_slice_missing_among_slice_locations_is_a_gap(tmp_path):
    paths = make_series(tmp_path, 24, edited("ImagePositionPatient", SliceLocation=lambda i: 5.0 * i))
    paths[10].unlink()
    assert codes_in(tmp_path) == {"W-NO-POSITION", "W-SLICE-GAP"}
    assert series_in(tmp_path).gaps == [pytest.approx((45.0, 10.0))]


@pytest.mark.parametrize(
    "location",
    [
        lambda i: 5.0 * (i % 12),  # each twice
        lambda i: [0.0, 10.0, 5.0][i % 3] + 15 * (i // 3),  # against the numbers
        lambda i: "" if i == 3 else 5.0 * i,  # one without
        lambda i: "1e308" if i == 3 else 5.0 * i,
    ],
    ids=["shared", "not monotone", "absent in one", "absurd in one"],
)
def test_slice_locations_that_contradict_themselves_are_not_believed(tmp_path, location):
    make_series(tmp_path, 24, edited("ImagePositionPatient", SliceLocation=location))
    assert refusal_code_in(tmp_path) == "E-NO-GEOMETRY"


def test_instance_number_orders_slices_only_where_it_is_trusted(tmp_path):
    make_series(tmp_path, 24, edited("ImagePositionPatient", SpacingBetweenSlices="4"))
    assert refusal_code_in(tmp_path) == "E-NO-GEOMETRY"
    series = series_in(tmp_path, TRUSTING)
    assert codes_in(tmp_path, TRUSTING) == {"W-NO-POSITION"}
    assert message_of(series.findings, "W-NO-POSITION").endswith("taken from InstanceNumber")
    assert series.positions_mm == pytest.approx([5.0 * (i + 1) for i in range(24)])  # SliceThickness is 5 mm
    assert corner_values(tmp_path, TRUSTING) == [-24.0 + 7 * i for i in range(24)]


def test_without_thickness_spacing_between_slices_serves(tmp_path):
    make_series(tmp_path, 24, edited("ImagePositionPatient", "SliceThickness", SpacingBetweenSlices="4"))
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
    paths = make_series(tmp_path, 24, edited("ImagePositionPatient"))
    paths[10].unlink()
    assert codes_in(tmp_path, TRUSTING) == {"W-NO-POSITION", "W-SLICE-GAP"}


def test_slices_stacked_along_the_body_alone_are_axial_without_saying_so(tmp_path):
    make_series(tmp_path, 24, edited("ImageOrientationPatient"))
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
    make_series(tmp_path / "axial", 24, edited(*nothing, SliceLocation=lambda i: 5.0 * i))
    make_series(tmp_path / "plain", 24, edited(*nothing, "ImageType", SliceLocation=lambda i: 5.0 * i))
    everything = {"W-NO-POSITION", "W-NO-ORIENTATION", "W-NO-SPACING"}
    assert codes_in(tmp_path / "axial") == everything
    assert refusal_code_in(tmp_path / "plain") == "E-NO-GEOMETRY"
    assert codes_in(tmp_path / "plain", TRUSTING) == everything


def test_without_pixel_spacing_the_field_of_view_is_taken_as_250_mm(tmp_path):
    edit = edited("PixelSpacing", ImagerPixelSpacing=[0.2, 0.2])
    make_series(tmp_path, 24, edit)
    assert codes_in(tmp_path) == {"W-NO-SPACING"}
    # 80 columns over 250 mm; ImagerPixelSpacing speaks of the detector
    assert Volume(series_in(tmp_path)).pixel_spacing_mm == (3.125, 3.125)


def test_a_slice_without_pixel_spacing_has_that_of_the_others(tmp_path):
    make_series(tmp_path, 24, in_the_eleventh(edited("PixelSpacing")))
    assert codes_in(tmp_path) == {"W-NO-SPACING"}
    assert {header.pixel_spacing_mm for header in series_in(tmp_path).headers} == {(0.5, 0.5)}


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient"])
def test_a_slice_without_the_position_that_others_have_is_left_out(tmp_path, keyword):
    make_series(tmp_path, 24, in_the_eleventh(edited(keyword)))
    assert codes_in(tmp_path) == {"D-NO-POSITION", "W-SLICE-GAP"}
