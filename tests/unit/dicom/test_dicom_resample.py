"""Square pixels and other grids, against hand arithmetic."""

import numpy as np
import pytest
from dicom_factory import make_series, ramp_hu
from nifti_copies import nifti_of

from ich_seq.dicom.resample import resampled, square_pixels
from ich_seq.errors import PixelsUnreadableError
from ich_seq.nifti import NiftiScan, read_square_slice, read_stored_slice
from ich_seq.volume import WHOLE_FILE


@pytest.mark.parametrize("spacing_mm", [(0.488281, 0.488281), (0.5, 0.502), None])
def test_square_pixels_are_left_alone(spacing_mm):
    hu = ramp_hu(0)
    assert square_pixels(hu, spacing_mm) is hu


def test_the_coarser_axis_takes_the_finer_spacing():
    """Rows 1 mm apart, columns 0.5 mm: the new rows lie a quarter of an old one below and above each old centre."""
    hu = ramp_hu(0, 64, 80)
    found = square_pixels(hu, (1.0, 0.5))
    assert found.shape == (128, 80)
    assert found.dtype == np.float32
    old = np.clip((np.arange(128) + 0.5) / 2 - 0.5, 0, 63)  # nothing is made up beyond the outermost centres
    wanted = -24 + 3 * old[:, None] + np.arange(80)
    np.testing.assert_allclose(found, wanted, atol=1e-4)  # float32


def test_the_order_of_spacings_is_rows_first():
    assert square_pixels(ramp_hu(0, 64, 80), (0.5, 1.0)).shape == (64, 160)


def test_no_axis_grows_without_end():
    """64 x 4096 pixels of 19 x 0.011 mm would make 110,545 rows."""
    found = square_pixels(np.zeros((64, 4096), np.float32), (19.0, 0.011))
    assert found.shape == (4096, 152)  # by hand: 1216 mm in 4096 pixels of 0.297 mm; 45.1 mm in 152


def test_what_lies_outside_is_air_and_the_edge_reaches_half_a_pixel():
    hu = np.array([[0.0, 10.0], [20.0, 30.0]], np.float32)
    found = resampled(hu, np.array([0.0, 1.0]), np.array([-0.6, -0.5, 0.25, 1.5, 1.6]))
    np.testing.assert_array_equal(found, [[-1024, 0, 2.5, 10, -1024], [-1024, 20, 22.5, 30, -1024]])


def test_training_reads_slices_with_square_pixels(tmp_path):
    def tall(dataset, index):
        dataset.PixelSpacing = [1.0, 0.5]

    def lying(dataset, index):
        dataset.PixelSpacing = [1.0, 0.5]
        dataset.ImageOrientationPatient = [0, 1, 0, 1, 0, 0]

    (upright, *_) = make_series(tmp_path / "tall", 2, tall)
    (turned, *_) = make_series(tmp_path / "lying", 2, lying)
    (plain, *_) = make_series(tmp_path / "plain", 2)
    assert read_stored_slice(upright, WHOLE_FILE).shape == (64, 80)
    np.testing.assert_array_equal(read_square_slice(upright, WHOLE_FILE), square_pixels(ramp_hu(0), (1.0, 0.5)))
    np.testing.assert_array_equal(read_square_slice(turned, WHOLE_FILE), square_pixels(ramp_hu(0).T, (0.5, 1.0)))
    np.testing.assert_array_equal(read_square_slice(plain, WHOLE_FILE), ramp_hu(0))
    path = nifti_of(tmp_path / "tall", tmp_path / "tall.nii.gz")
    np.testing.assert_array_equal(read_square_slice(path, 0), square_pixels(NiftiScan(path)[0], (1.0, 0.5)))


@pytest.mark.parametrize("spacing", [["nan", "0.5"], [0.5], [0.0, 0.5]])
def test_a_spacing_that_is_no_usable_number_is_refused_by_name(tmp_path, spacing):
    def odd(dataset, index):
        dataset.PixelSpacing = spacing

    (path, *_) = make_series(tmp_path, 1, odd)
    with pytest.raises(PixelsUnreadableError, match=f"{path.name}: D-BAD-GEOMETRY"):
        read_square_slice(path, WHOLE_FILE)
