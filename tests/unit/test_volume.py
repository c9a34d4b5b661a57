import numpy as np
import pytest
from dicom_factory import as_rsna, make_series, ramp_hu, set_pixels

from ich_seq.dicom import read_study_files
from ich_seq.errors import IncompleteSeriesError, PixelsUnreadableError, SeriesRefusedError
from ich_seq.volume import Volume


def volume_of(folder):
    (study,) = read_study_files([folder]).studies
    assert study.chosen is not None
    return Volume(study.chosen)


def damaged(path):
    """A compressed file whose stream has lost its end marker: that shows only when it is decoded."""
    raw = path.read_bytes()
    end = raw.rindex(b"\xff\xd9")
    path.write_bytes(raw[:end] + bytes(2) + raw[end + 2 :])


def test_a_volume_is_a_sequence_of_slices_feet_to_head(tmp_path):
    make_series(tmp_path, 6)
    volume = volume_of(tmp_path)
    assert len(volume) == 6
    np.testing.assert_array_equal(volume[2], ramp_hu(2))
    np.testing.assert_array_equal(volume[-1], ramp_hu(5))
    np.testing.assert_array_equal(volume[1:3], [ramp_hu(1), ramp_hu(2)])
    np.testing.assert_array_equal(volume.array(), [ramp_hu(s) for s in range(6)])
    assert volume.positions_mm == pytest.approx([50, 55, 60, 65, 70, 75])
    with pytest.raises(IndexError, match="slice 6 of 6"):
        volume[6]


def test_affine_maps_columns_rows_and_slices_to_lps(tmp_path):
    make_series(tmp_path, 6)
    # by hand: PixelSpacing 0.5 mm, first voxel at (-100, -110, 50), 5 mm between slices
    np.testing.assert_allclose(
        volume_of(tmp_path).affine,
        [[0.5, 0, 0, -100], [0, 0.5, 0, -110], [0, 0, 5, 50], [0, 0, 0, 1]],
        atol=1e-12,  # rounding of float64
    )


def test_affine_of_a_tilted_stack_is_a_shear(tmp_path):
    make_series(tmp_path, 6, tilt_deg=20.0)
    affine = volume_of(tmp_path).affine
    np.testing.assert_allclose(affine[:3, 2], [0, 0, 5 / np.cos(np.radians(20))], atol=1e-6)  # cosines have 9 digits
    np.testing.assert_allclose(
        affine[:3, 1], [0, 0.5 * np.cos(np.radians(20)), -0.5 * np.sin(np.radians(20))], atol=1e-6
    )


@pytest.mark.parametrize(
    ("orientation", "origin", "turn"),
    [
        ([-1, 0, 0, 0, 1, 0], (-60.5, -110.0), lambda hu: hu[:, ::-1]),
        ([1, 0, 0, 0, -1, 0], (-100.0, -78.5), lambda hu: hu[::-1]),
        ([-1, 0, 0, 0, -1, 0], (-60.5, -78.5), lambda hu: hu[::-1, ::-1]),
    ],
    ids=["mirrored", "upside down", "prone"],
)
def test_flipped_images_are_turned_to_the_usual_display(tmp_path, orientation, origin, turn):
    """Each file holds the same head, stored from another corner: 80 columns and 64 rows at 0.5 mm."""

    def flipped(dataset, index):
        dataset.ImageOrientationPatient = orientation
        dataset.ImagePositionPatient = [*origin, 50.0 + 5 * index]
        stored = turn(ramp_hu(index)) + 1024
        dataset.PixelData = np.ascontiguousarray(stored).astype(np.uint16).tobytes()

    make_series(tmp_path / "flipped", 6, flipped)
    make_series(tmp_path / "plain", 6)
    volume, plain = volume_of(tmp_path / "flipped"), volume_of(tmp_path / "plain")
    np.testing.assert_array_equal(volume.array(), plain.array())
    np.testing.assert_allclose(volume.affine, plain.affine, atol=1e-9)  # rounding of float64


def test_a_patient_lying_on_the_side_is_transposed_upright(tmp_path):
    def lying(dataset, index):
        dataset.ImageOrientationPatient = [0, 1, 0, 1, 0, 0]
        dataset.ImagePositionPatient = [-100.0, -110.0, 50.0 + 5 * index]
        dataset.Rows, dataset.Columns = 80, 64
        dataset.PixelData = np.ascontiguousarray(ramp_hu(index).T + 1024).astype(np.uint16).tobytes()

    make_series(tmp_path, 6, lying)
    volume = volume_of(tmp_path)
    np.testing.assert_array_equal(volume[3], ramp_hu(3))
    np.testing.assert_allclose(volume.affine[:3, 3], [-100, -110, 50])


def test_reading_goes_on_past_a_slice_that_cannot_be_decoded(tmp_path):
    paths = make_series(tmp_path, 24, syntax="jpegls")
    damaged(paths[10])
    volume = volume_of(tmp_path)
    assert volume.refusal is None
    assert not volume.series.gaps
    read = [index for index, _ in volume.read()]
    assert read == [i for i in range(24) if i != 10]
    settled = volume.settled()
    assert len(settled) == 23
    assert settled.series.gaps[0] == pytest.approx((45.0, 10.0))
    assert {"D-TRUNCATED", "W-SLICE-GAP"} <= {item.code.value for item in settled.findings}
    np.testing.assert_array_equal(settled[10], ramp_hu(11))
    with pytest.raises(PixelsUnreadableError, match=paths[10].name):
        volume[10]


def test_too_many_undecodable_slices_refuse_what_is_left(tmp_path):
    paths = make_series(tmp_path, 24, syntax="rle")
    for index in (5, 6, 7, 8, 9):
        raw = paths[index].read_bytes()
        at = raw.rindex(b"\x02\x00\x00\x00\x40\x00\x00\x00")  # the RLE header: two segments, the first at 64
        paths[index].write_bytes(raw[:at] + b"\x09" + raw[at + 1 :])
    volume = volume_of(tmp_path)
    list(volume.read())
    assert isinstance(volume.settled().refusal, IncompleteSeriesError)


def test_a_volume_of_nothing_readable_is_refused(tmp_path):
    for path in make_series(tmp_path, 3, syntax="jpegls"):
        damaged(path)
    volume = volume_of(tmp_path)
    assert list(volume.read()) == []
    with pytest.raises(SeriesRefusedError, match="E-NO-SLICE-LEFT"):
        volume.settled()


def test_without_losses_settled_is_the_volume_itself(tmp_path):
    make_series(tmp_path, 3)
    volume = volume_of(tmp_path)
    list(volume.read())
    assert volume.settled() is volume


def test_digest_does_not_depend_on_transfer_syntax_sign_or_identifiers(tmp_path):
    make_series(tmp_path / "plain", 4)
    make_series(tmp_path / "jpegls", 4, syntax="jpegls")
    make_series(tmp_path / "signed", 4, signed=True)
    make_series(tmp_path / "rsna", 4, as_rsna)
    assert len({volume_of(folder).pixel_digest() for folder in tmp_path.iterdir()}) == 1


@pytest.mark.parametrize("change", ["pixel", "position", "spacing"])
def test_digest_depends_on_pixels_and_geometry(tmp_path, change):
    def edit(dataset, index):
        if change == "pixel" and index == 2:
            dataset.PixelData = bytes([dataset.PixelData[0] ^ 1]) + dataset.PixelData[1:]
        if change == "position":
            dataset.ImagePositionPatient = [-100.0, -110.0, 50.0 + 5.01 * index]
        if change == "spacing":
            dataset.PixelSpacing = [0.51, 0.51]

    make_series(tmp_path / "plain", 4)
    make_series(tmp_path / "edited", 4, edit)
    assert volume_of(tmp_path / "plain").pixel_digest() != volume_of(tmp_path / "edited").pixel_digest()


def test_digest_is_the_same_before_and_after_reading(tmp_path):
    make_series(tmp_path, 4)
    fresh, read = volume_of(tmp_path), volume_of(tmp_path)
    list(read.read())
    assert fresh.pixel_digest() == read.pixel_digest()


@pytest.mark.parametrize("tilt_deg", [0.0, 15.0])
@pytest.mark.parametrize("outlier", [0, 5, 23])
def test_a_slice_at_another_zoom_is_brought_onto_the_grid_of_its_series(tmp_path, outlier, tilt_deg):
    """One slice was reconstructed at 0.4 instead of 0.5 mm about the same centre: its ramp is as steep in mm."""

    def zoomed(dataset, index):
        if index != outlier:
            return
        x, y, z = dataset.ImagePositionPatient
        along = np.array(dataset.ImageOrientationPatient[3:])
        corner = np.array([x, y, z]) + 31.5 * 0.1 * along + np.array([39.5 * 0.1, 0, 0])
        dataset.ImagePositionPatient = [round(float(value), 9) for value in corner]
        dataset.PixelSpacing = [0.4, 0.4]
        rows, columns = np.mgrid[:64, :80]
        # by hand: row r of the zoomed slice lies at row 31.5 + 0.8 (r - 31.5) of the others
        ramp = -24 + 7 * index + 3 * (31.5 + 0.8 * (rows - 31.5)) + 39.5 + 0.8 * (columns - 39.5)
        set_pixels(dataset, np.round(ramp))

    make_series(tmp_path / "zoomed", 24, zoomed, tilt_deg=tilt_deg)
    make_series(tmp_path / "plain", 24, tilt_deg=tilt_deg)
    volume, plain = volume_of(tmp_path / "zoomed"), volume_of(tmp_path / "plain")
    assert {"W-SPACING-OUTLIER", "W-POSITION-OUTLIER"} & {item.code.value for item in volume.findings} == {
        "W-SPACING-OUTLIER"
    }
    assert volume.pixel_spacing_mm == (0.5, 0.5)
    np.testing.assert_allclose(volume.affine, plain.affine, atol=1e-6)  # positions have nine decimals
    for index in range(24):
        if index != outlier:
            np.testing.assert_array_equal(volume[index], plain[index])
    # The zoomed slice reaches over the middle 51 rows and 64 columns; beyond them is air.
    middle, reach = slice(7, 57), slice(9, 71)
    np.testing.assert_allclose(volume[outlier][middle, reach], plain[outlier][middle, reach], atol=1.0)  # whole HU
    assert (volume[outlier][:6] == -1024).all()
    assert (volume[outlier][:, -7:] == -1024).all()


TURNS = {
    (False, False, False): [1, 0, 0, 0, 1, 0],
    (False, False, True): [-1, 0, 0, 0, 1, 0],
    (False, True, False): [1, 0, 0, 0, -1, 0],
    (False, True, True): [-1, 0, 0, 0, -1, 0],
    (True, False, False): [0, 1, 0, 1, 0, 0],
    (True, False, True): [0, 1, 0, -1, 0, 0],
    (True, True, False): [0, -1, 0, 1, 0, 0],
    (True, True, True): [0, -1, 0, -1, 0, 0],
}


@pytest.mark.parametrize(("turn", "orientation"), TURNS.items(), ids=str)
def test_all_eight_ways_to_store_an_axial_image_give_one_volume(tmp_path, turn, orientation):
    """Feet first, prone, on the side: each is one of the eight; the first voxel is 39.5 mm to the left and 31.5 mm to the back."""
    transpose, flip_rows, flip_columns = turn

    def stored(dataset, index):
        hu = ramp_hu(index)
        hu = hu[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
        set_pixels(dataset, np.ascontiguousarray(hu.T if transpose else hu))
        dataset.ImageOrientationPatient = orientation
        dataset.ImagePositionPatient = [
            -100.0 + 39.5 * flip_columns,
            -110.0 + 31.5 * flip_rows,
            50.0 + 5 * index,
        ]

    make_series(tmp_path, 5, stored)
    volume = volume_of(tmp_path)
    np.testing.assert_array_equal(volume.array(), [ramp_hu(index) for index in range(5)])
    np.testing.assert_allclose(volume.affine[:3, 3], [-100, -110, 50], atol=1e-9)  # rounding of float64
    assert not {"W-ORIENTATION", "E-NOT-AXIAL"} & {item.code.value for item in volume.findings}


@pytest.mark.parametrize(("degrees", "warned"), [(15, False), (25, True), (65, True), (75, False)])
def test_a_rotation_in_the_plane_of_more_than_20_degrees_is_warned_of(tmp_path, degrees, warned):
    cos, sin = (round(float(f(np.radians(degrees))), 9) for f in (np.cos, np.sin))

    def turned(dataset, index):
        dataset.ImageOrientationPatient = [cos, sin, 0, -sin, cos, 0]

    make_series(tmp_path, 5, turned)
    codes = {item.code.value for item in volume_of(tmp_path).findings}
    assert ("W-ORIENTATION" in codes) == warned


def test_padding_found_while_reading_is_counted_in_the_findings(tmp_path):
    def pad(dataset, _index):
        hu = ramp_hu(0)
        hu[:, :10] = -3024
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 15, 1
        dataset.RescaleIntercept = "0"
        dataset.PixelData = hu.astype(np.int16).tobytes()

    make_series(tmp_path, 4, pad)
    volume = volume_of(tmp_path)
    assert "N-PADDING" not in {item.code.value for item in volume.findings}
    list(volume.read())
    # by hand: 4 slices x 64 rows x 10 columns
    assert volume.padding_pixels == 2560
    assert "2560 pixels in 4 slices" in str(next(f for f in volume.findings if f.code.value == "N-PADDING"))


def test_a_refused_series_makes_no_volume(tmp_path):
    def nowhere(dataset, _index):
        del dataset.ImagePositionPatient

    make_series(tmp_path, 3, nowhere)
    (study,) = read_study_files([tmp_path]).studies
    assert study.chosen is None
