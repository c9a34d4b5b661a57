"""Faults of place and direction: gaps, positions, orientations, spacing, matrix (catalogue, section C)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from .fault import fault
from .good import GoodSeries, decimal, save
from .stored import hu_of, store

_NO_THICKNESS = "no SliceThickness: nothing tells it from a protocol with twice the step"
_GONE = ("D-BAD-GEOMETRY", "W-SLICE-GAP")


def _gone(keyword: str) -> Callable[[Dataset], None]:
    return lambda dataset: delattr(dataset, keyword)


def _set(keyword: str, *values: str) -> Callable[[Dataset], None]:
    return lambda dataset: setattr(dataset, keyword, list(values))


@fault(42, "W-SLICE-GAP")
def one_slice_missing(good: GoodSeries, out: Path) -> None:
    good.copy(out, leave_out={good.middle})


@fault(42, "W-SLICE-GAP")
def two_slices_missing_apart(good: GoodSeries, out: Path) -> None:
    good.copy(out, leave_out={len(good) // 4, good.middle})


@fault(42, "W-SLICE-GAP", differs={"ge": ("E-INCOMPLETE", "W-SLICE-GAP")})
def two_neighbours_missing(good: GoodSeries, out: Path) -> None:
    """A hole of three steps: 22 mm where GE's step is 7.4 mm."""
    good.copy(out, leave_out={good.middle, good.middle + 1})


@fault(42, "E-INCOMPLETE", "W-SLICE-GAP", impossible={"rsna": _NO_THICKNESS})
def every_other_slice_missing(good: GoodSeries, out: Path) -> None:
    """Those that are left are numbered 1, 3, 5: their steps alone could be a protocol's."""
    for index in range(0, len(good), 2):
        dataset = good.load(index)
        dataset.InstanceNumber = index + 1
        save(dataset, out / good.paths[index].name)


@fault(42, "E-INCOMPLETE", "W-SLICE-GAP")
def every_fifth_slice_missing(good: GoodSeries, out: Path) -> None:
    good.copy(out, leave_out=range(2, len(good), 5))


@fault(42, "E-INCOMPLETE", "W-SLICE-GAP")
def a_hole_of_more_than_20_mm(good: GoodSeries, out: Path) -> None:
    start = good.position(good.middle)
    hole = [i for i in range(good.middle + 1, len(good)) if np.linalg.norm(good.position(i) - start) < 20.5]
    good.copy(out, leave_out=hole)


@fault(35, "E-NO-GEOMETRY")
def no_position_and_no_location(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        for keyword in ("ImagePositionPatient", "SliceLocation"):
            dataset.pop(keyword, None)

    good.edit(out, change)


@fault(35, "W-NO-POSITION")
def no_position_but_a_location(good: GoodSeries, out: Path) -> None:
    heights = good.normal()

    def change(dataset: Dataset) -> None:
        place = np.array(dataset.ImagePositionPatient, dtype=float)
        dataset.SliceLocation = f"{place @ heights:.4f}"
        del dataset.ImagePositionPatient

    good.edit(out, change)


@fault(36, "D-NO-POSITION", "W-SLICE-GAP")
def no_position_in_one(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _gone("ImagePositionPatient"))


@fault(37, "W-NO-ORIENTATION")
def no_orientation(good: GoodSeries, out: Path) -> None:
    """Of all; the corners of the good series lie above each other, tilted or not, so their distances along the body are known."""
    good.edit(out, _gone("ImageOrientationPatient"))


@fault(38, *_GONE)
def a_position_that_is_no_number(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _set("ImagePositionPatient", "0", "nan", "0"))


@fault(38, *_GONE)
def a_position_of_two_numbers(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _set("ImagePositionPatient", "1", "2"))


@fault(38, *_GONE)
def a_position_beyond_numbers(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _set("ImagePositionPatient", "0", "0", "1e309"))


@fault(38, *_GONE)
def an_orientation_that_is_not_orthonormal(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _set("ImageOrientationPatient", "1", "0", "0", "0.5", "1", "0"))


@fault(38, "D-BAD-GEOMETRY", "E-NO-SLICE-LEFT")
def no_orientation_is_orthonormal(good: GoodSeries, out: Path) -> None:
    good.edit(out, _set("ImageOrientationPatient", "0", "0", "0", "0", "0", "0"))


@fault(39, "W-ORIENTATION-SPLIT", "W-SLICE-GAP")
def one_slice_tilted(good: GoodSeries, out: Path) -> None:
    """To 20 degrees from the horizontal: steeper ones are taken for a localizer."""
    good.edit_one(out, _set("ImageOrientationPatient", "1", "0", "0", "0", "0.93969262", "0.34202014"))


@fault(32, "W-ORIENTATION")
def turned_in_the_plane(good: GoodSeries, out: Path) -> None:
    """By 30 degrees about the slices' own normal, gantry tilt kept."""
    angle = np.radians(30.0)

    def change(dataset: Dataset) -> None:
        plane = np.array(dataset.ImageOrientationPatient, dtype=float)
        row = np.cos(angle) * plane[:3] + np.sin(angle) * plane[3:]
        column = -np.sin(angle) * plane[:3] + np.cos(angle) * plane[3:]
        dataset.ImageOrientationPatient = decimal([*row, *column])

    good.edit(out, change)


@fault(46, "E-NO-VOLUME")
def all_at_one_position(good: GoodSeries, out: Path) -> None:
    place = decimal(good.position(good.middle))
    good.edit(out, lambda dataset: setattr(dataset, "ImagePositionPatient", place))


@fault(47, "W-POSITION-OUTLIER")
def one_slice_shifted_in_its_plane(good: GoodSeries, out: Path) -> None:
    place = good.position(good.middle) + np.array([6.0, 0.0, 0.0])
    good.edit_one(out, lambda dataset: setattr(dataset, "ImagePositionPatient", decimal(place)))


@fault(50, "W-NO-SPACING")
def no_pixel_spacing(good: GoodSeries, out: Path) -> None:
    good.edit(out, _gone("PixelSpacing"))


@fault(50, *_GONE)
def pixel_spacing_of_zero_in_one(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _set("PixelSpacing", "0", "0"))


@fault(51, "W-SPACING-OUTLIER")
def pixel_spacing_changed_in_one(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _set("PixelSpacing", "0.6", "0.6"))


@fault(53, "D-MATRIX-OUTLIER", "W-SLICE-GAP")
def matrix_changed_in_one(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        store(dataset, hu_of(dataset)[: dataset.Rows - 8], 16, True, 0)

    good.edit_one(out, change)


@fault(52, "D-MATRIX", "E-NO-SLICE-LEFT")
def a_matrix_too_small(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        step = dataset.Rows // 32
        store(dataset, hu_of(dataset)[::step, ::step], 16, True, 0)

    good.edit(out, change)


@fault(77, "D-MATRIX", "W-SLICE-GAP")
def a_matrix_beyond_reason_in_one(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.Rows = dataset.Columns = 65535

    good.edit_one(out, change)
