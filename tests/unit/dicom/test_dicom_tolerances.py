"""Each tolerance of geometry at its edge, the matrix, and slices missing at the ends of a series."""

import math

import pytest
from dicom_factory import make_series, ramp_hu, set_pixels
from dicom_findings import codes_in, message_of, series_in, study_in

from ich_seq.volume import Volume

STEP_MM = 10.0


def twelve(folder, edit=None, **options):
    """Twelve slices, 10 mm apart: 120 mm, so that there is nothing to say."""
    return make_series(folder, 12, edit, spacing_mm=STEP_MM, **options)


def at(*indices, **values):
    """An edit of the slices with these indices; a callable value is given the index."""

    def edit(dataset, index):
        if not indices or index in indices:
            for keyword, value in values.items():
                setattr(dataset, keyword, value(index) if callable(value) else value)

    return edit


def turned(degrees):
    angle = math.radians(degrees)
    return [1, 0, 0, 0, round(math.cos(angle), 12), round(-math.sin(angle), 12)]


@pytest.mark.parametrize(
    ("degrees", "found"), [(0.95, set()), (1.05, {"W-ORIENTATION-SPLIT", "W-SLICE-GAP"}), (0.0, set())]
)
def test_slices_are_parallel_within_one_degree(tmp_path, degrees, found):
    twelve(tmp_path, at(5, ImageOrientationPatient=turned(degrees)))
    assert codes_in(tmp_path) == found


@pytest.mark.parametrize(("degrees", "refusal"), [(44.5, ""), (45.5, "E-NOT-AXIAL")])
def test_a_stack_is_axial_up_to_45_degrees(tmp_path, degrees, refusal):
    angle = math.radians(degrees)
    step = [0.0, STEP_MM * math.sin(angle), STEP_MM * math.cos(angle)]
    twelve(
        tmp_path,
        at(
            ImageOrientationPatient=turned(degrees),
            ImagePositionPatient=lambda i: [round(i * value, 9) for value in step],
        ),
    )
    assert str(study_in(tmp_path).refusal or "").partition(":")[0] == refusal


@pytest.mark.parametrize(("degrees", "found"), [(19.5, set()), (20.5, {"W-ORIENTATION"})])
def test_an_image_may_be_rotated_by_20_degrees_in_its_plane(tmp_path, degrees, found):
    cos, sin = (round(f(math.radians(degrees)), 12) for f in (math.cos, math.sin))
    twelve(tmp_path, at(ImageOrientationPatient=[cos, sin, 0, -sin, cos, 0]))
    assert codes_in(tmp_path) == found


@pytest.mark.parametrize("odd", range(0, 12, 5))
def test_the_normal_is_that_of_the_majority_wherever_the_odd_slice_lies(tmp_path, odd):
    twelve(tmp_path, at(odd, ImageOrientationPatient=turned(0.95)))
    series = series_in(tmp_path)
    assert series.normal.tolist() == [0.0, 0.0, 1.0]
    assert series.positions_mm == pytest.approx([50 + STEP_MM * i for i in range(12)])


@pytest.mark.parametrize("seed", "abc")
def test_of_two_equal_stacks_the_flat_one_is_taken_whatever_the_identifiers(tmp_path, seed):
    twelve(tmp_path, at(*range(6), ImageOrientationPatient=turned(10)), uid_seed=seed)
    headers = series_in(tmp_path).headers
    assert [header.image_orientation_patient for header in headers] == [(1, 0, 0, 0, 1, 0)] * 6


@pytest.mark.parametrize(("shift_mm", "found"), [(0.95, set()), (1.05, {"W-POSITION-OUTLIER"})])
@pytest.mark.parametrize("tilt_deg", [0.0, 15.0])
def test_a_slice_may_be_off_the_line_by_one_millimetre(tmp_path, shift_mm, found, tilt_deg):
    def edit(dataset, index):
        if index == 5:
            x, y, z = dataset.ImagePositionPatient
            dataset.ImagePositionPatient = [x + shift_mm, y, z]

    twelve(tmp_path, edit, tilt_deg=tilt_deg)
    assert codes_in(tmp_path) - {"N-GANTRY-TILT"} == found


@pytest.mark.parametrize(("jitter_mm", "found"), [(0.09, set()), (0.3, {"N-VARIABLE-SPACING"})])
def test_jitter_of_positions_below_a_tenth_of_a_millimetre_is_silent(tmp_path, jitter_mm, found):
    """Every third slice lies higher; 2 % of 10 mm are 0.2 mm."""
    twelve(
        tmp_path, at(ImagePositionPatient=lambda i: [-100, -110, 50 + STEP_MM * i + (jitter_mm if i % 3 == 0 else 0)])
    )
    assert codes_in(tmp_path) == found


@pytest.mark.parametrize(("apart_mm", "slices"), [(0.09, 12), (0.11, 13)])
def test_slices_closer_than_a_tenth_of_a_millimetre_share_a_position(tmp_path, apart_mm, slices):
    make_series(tmp_path, 12, spacing_mm=STEP_MM)
    again = at(0, SOPInstanceUID="1.2.3", ImagePositionPatient=[-100, -110, 50 + apart_mm])
    make_series(tmp_path / "again", 1, again, spacing_mm=STEP_MM)
    assert len(series_in(tmp_path)) == slices
    assert ("N-DUPLICATE-SLICE" in codes_in(tmp_path)) == (slices == 12)


@pytest.mark.parametrize(("spacing_mm", "found"), [(0.5024, set()), (0.5026, {"W-SPACING-OUTLIER"})])
def test_pixel_spacings_are_equal_within_half_a_percent(tmp_path, spacing_mm, found):
    twelve(tmp_path, at(5, PixelSpacing=[spacing_mm, spacing_mm]))
    assert codes_in(tmp_path) == found


@pytest.mark.parametrize("smaller", [5, 6, 7], ids=["minority", "half", "majority"])
def test_the_matrix_of_the_majority_is_kept_and_of_two_halves_the_larger(tmp_path, smaller):
    def edit(dataset, index):
        if index < smaller:
            set_pixels(dataset, ramp_hu(index, 64, 64))

    twelve(tmp_path, edit)
    assert "D-MATRIX-OUTLIER" in codes_in(tmp_path)
    assert series_in(tmp_path).headers[0].columns == (64 if smaller == 7 else 80)


def test_a_matrix_other_than_512_x_512_is_noted_with_its_size(tmp_path):
    twelve(tmp_path)
    assert message_of(series_in(tmp_path).findings, "N-MATRIX") == "The matrix is not 512 x 512: 64 x 80"


@pytest.mark.parametrize("number", [2**40, -5, "1e3", ""], ids=str)
def test_instance_numbers_that_are_huge_repeated_or_absent_change_nothing(tmp_path, number):
    twelve(tmp_path, lambda dataset, _index: dataset.add_new("InstanceNumber", "LO", str(number)))
    assert codes_in(tmp_path) == set()
    assert [hu[8, 8] for hu in Volume(series_in(tmp_path))] == [408.0 + 7 * i for i in range(12)]  # bone in the factory


@pytest.mark.parametrize("overlap", [0.5, 0.9])
def test_overlapping_slices_are_accepted_without_a_word(tmp_path, overlap):
    twelve(tmp_path, at(SliceThickness=f"{STEP_MM / overlap:.2f}"))
    assert codes_in(tmp_path) == set()


def test_slices_that_the_acquisition_counts_and_no_gap_explains_are_missing_at_an_end(tmp_path):
    paths = make_series(tmp_path, 16, at(ImagesInAcquisition=16), spacing_mm=STEP_MM)
    assert codes_in(tmp_path) == set()
    paths[0].unlink()
    paths[15].unlink()
    found = series_in(tmp_path).findings
    assert codes_in(tmp_path) == {"W-SHORT-COVERAGE"}
    assert message_of(found, "W-SHORT-COVERAGE").endswith(": 14 of 16 images of the acquisition")


def test_a_gap_explains_what_the_acquisition_counts(tmp_path):
    paths = make_series(tmp_path, 16, at(ImagesInAcquisition=16), spacing_mm=STEP_MM)
    paths[5].unlink()
    assert codes_in(tmp_path) == {"W-SLICE-GAP"}


def test_the_images_of_several_acquisitions_are_counted_together(tmp_path):
    paths = make_series(
        tmp_path, 16, at(AcquisitionNumber=lambda i: 1 + i // 8, ImagesInAcquisition=8), spacing_mm=STEP_MM
    )
    assert codes_in(tmp_path) == set()
    paths[0].unlink()
    assert codes_in(tmp_path) == {"W-SHORT-COVERAGE"}


@pytest.mark.parametrize("images", [11, 12, 24, 100], ids=lambda n: f"{n} of 12")
def test_an_acquisition_that_made_two_series_or_fewer_images_does_not_count(tmp_path, images):
    twelve(tmp_path, at(ImagesInAcquisition=images))
    assert codes_in(tmp_path) == set()


@pytest.mark.parametrize(
    ("slices", "first", "found"),
    [
        (11, 1, set()),  # 110 mm that are counted from 1
        (11, 2, {"W-SHORT-COVERAGE"}),  # 110 mm, and number 1 is missing
        (12, 2, set()),  # 120 mm: a whole head whose numbers follow those of a localizer
    ],
)
def test_numbers_that_begin_late_count_only_where_little_is_covered(tmp_path, slices, first, found):
    make_series(tmp_path, slices, at(InstanceNumber=lambda i: first + i), spacing_mm=STEP_MM)
    assert codes_in(tmp_path) == found


def test_numbers_that_do_not_count_slices_one_by_one_say_nothing_of_the_ends(tmp_path):
    make_series(tmp_path, 11, at(InstanceNumber=lambda i: 100 + 3 * i), spacing_mm=STEP_MM)
    assert codes_in(tmp_path) == set()
