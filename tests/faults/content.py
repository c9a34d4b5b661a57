"""Faults of what the series shows: kernel, contrast, reformats, body part, age, extent (catalogue, section B)."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from .fault import fault
from .good import GoodSeries, decimal

_PLASTIC = "plastic: neither header nor values are those of a head then, which is another fault"


@fault(20, "W-BONE-KERNEL")
def bone_kernel_only(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: setattr(dataset, "ConvolutionKernel", "BONE"))


@fault(20, "W-BONE-KERNEL")
def a_sharp_siemens_kernel(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: setattr(dataset, "ConvolutionKernel", ["Hr64f", "3"]))


@fault(21, "W-CONTRAST")
def contrast_agent(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.ContrastBolusAgent, dataset.SeriesDescription = "IODINE 100 ML", "HEAD"

    good.edit(out, change)


@fault(21, "W-CONTRAST")
def an_angiography_by_its_description(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: setattr(dataset, "SeriesDescription", "CTA head arterial"))


@fault(22, "E-NOT-AXIAL")
def coronal(good: GoodSeries, out: Path) -> None:
    _turned(good, out, ("1", "0", "0", "0", "0", "-1"), np.array([0.0, 1.0, 0.0]))


@fault(22, "E-NOT-AXIAL")
def sagittal(good: GoodSeries, out: Path) -> None:
    _turned(good, out, ("0", "1", "0", "0", "0", "-1"), np.array([1.0, 0.0, 0.0]))


def _turned(good: GoodSeries, out: Path, orientation: tuple[str, ...], along: np.ndarray) -> None:
    for index in range(len(good)):
        place = decimal((-50.0, -50.0, 50.0) + 5.0 * index * along)

        def change(dataset: Dataset, position: list[str] = place) -> None:
            dataset.ImageOrientationPatient, dataset.ImagePositionPatient = list(orientation), position

        good.add(out, change, f"{index}.dcm", index)


@fault(22, "E-DERIVED")
def maximum_intensity_projection(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: setattr(dataset, "ImageType", ["DERIVED", "SECONDARY", "AXIAL", "MIP"]))


@fault(28, "E-DERIVED")
def iodine_map(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: setattr(dataset, "ImageType", ["DERIVED", "PRIMARY", "AXIAL", "IODINE_MAP"]))


@fault(22, "W-DERIVED-AXIAL")
def axial_reformat(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: setattr(dataset, "ImageType", ["DERIVED", "SECONDARY", "AXIAL", "MPR"]))


@fault(23, "W-MAYBE-NOT-HEAD", impossible={"philips": _PLASTIC})
def a_chest_by_its_header(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: setattr(dataset, "BodyPartExamined", "CHEST"))


@fault(23, "W-PAEDIATRIC")
def a_child(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: setattr(dataset, "PatientAge", "006Y"))


@fault(24, "W-COVERAGE")
def a_whole_body(good: GoodSeries, out: Path) -> None:
    """The head four times, one above the other, every second upside down, so that each slice continues its neighbour."""
    step = good.position(len(good) - 1) - good.position(len(good) - 2)
    height = good.position(len(good) - 1) - good.position(0) + step
    good.copy(out)
    for copy in range(1, 4):
        for index in range(len(good)):
            place = decimal(good.position(index) + copy * height)

            own = good.load(index).get("SliceThickness")

            def change(dataset: Dataset, position: list[str] = place, thickness: Any = own) -> None:
                dataset.ImagePositionPatient = position
                if thickness is not None:
                    dataset.SliceThickness = thickness

            image = len(good) - 1 - index if copy % 2 else index
            good.add(out, change, f"{copy}_{index}.dcm", image)


@fault(25, "W-SINGLE-SLICE")
def one_slice(good: GoodSeries, out: Path) -> None:
    good.copy(out, leave_out=[index for index in range(len(good)) if index != good.middle])


@fault(25, "W-FEW-SLICES", "W-SHORT-COVERAGE")
def three_slices(good: GoodSeries, out: Path) -> None:
    good.copy(out, leave_out=[index for index in range(len(good)) if abs(index - good.middle) > 1])


@fault(43, "W-SHORT-COVERAGE")
def only_the_upper_half(good: GoodSeries, out: Path) -> None:
    """The topmost slices, 80 mm at most."""
    top = good.position(len(good) - 1)
    low = [i for i in range(len(good)) if np.linalg.norm(top - good.position(i)) > 75]
    good.copy(out, leave_out=low)


@fault(
    43,
    "W-SHORT-COVERAGE",
    impossible={"ge": "an acquisition is one turn of the gantry there, and counts its own images"},
)
def fewer_slices_than_the_header_counts(good: GoodSeries, out: Path) -> None:
    """The lowest two are gone; ImagesInAcquisition still counts them."""
    good.edit(out, lambda dataset: setattr(dataset, "ImagesInAcquisition", len(good)))
    for path in good.paths[:2]:
        (out / path.name).unlink()
