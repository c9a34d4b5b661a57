"""Faults of who is who: identifiers, patients, acquisitions, frames of reference (catalogue, sections A to C)."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from .fault import fault
from .good import GoodSeries, as_it_is, decimal, save
from .stored import hu_of, store


def _darker(dataset: Dataset) -> None:
    """The same head 5 HU darker: other pixels, as plausible as before."""
    store(dataset, np.clip(hu_of(dataset), -1024, 3000) - 5, 16, True, 0)


@fault(11, "E-UID-COLLISION")
def one_identifier_for_two_images(good: GoodSeries, out: Path) -> None:
    good.copy(out)
    dataset = good.load(good.middle)
    _darker(dataset)
    save(dataset, out / "again.dcm")


@fault(12, "E-MIXED-PATIENTS")
def two_patients_in_one_series(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: setattr(dataset, "PatientID", "SOMEONE-ELSE"), range(good.middle, len(good)))


@fault(12, "E-MIXED-PATIENTS")
def one_slice_of_another_birth_date(good: GoodSeries, out: Path) -> None:
    """Where the others have one too: a date that is absent elsewhere contradicts nothing."""
    dates = iter(range(len(good)))
    good.edit(out, lambda d: setattr(d, "PatientBirthDate", "19010101" if next(dates) == good.middle else "19000101"))


@fault(13, "W-SERIES-UID-REUSED")
def one_series_uid_in_two_studies(good: GoodSeries, out: Path) -> None:
    good.copy(out)
    study = generate_uid(entropy_srcs=["another study"])
    for index in range(len(good)):

        def change(dataset: Dataset, own: int = index) -> None:
            dataset.StudyInstanceUID, dataset.SOPInstanceUID = study, generate_uid(entropy_srcs=["other", str(own)])

        good.add(out, change, f"other{index}.dcm", index)


@fault(14, "E-NO-SERIES-UID")
def no_series_uid(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: delattr(dataset, "SeriesInstanceUID"))


@fault(14, "W-SLICE-GAP")
def no_series_uid_in_one(good: GoodSeries, out: Path) -> None:
    """The slice without one is no part of any series that can be scored, so the series lacks it."""
    good.edit_one(out, lambda dataset: delattr(dataset, "SeriesInstanceUID"))


@fault(19, "W-SERIES-AMBIGUOUS")
def two_equal_series(good: GoodSeries, out: Path) -> None:
    good.copy(out)
    series = generate_uid(entropy_srcs=["twin"])
    for index in range(len(good)):
        good.add(out, lambda dataset: setattr(dataset, "SeriesInstanceUID", series), f"twin{index}.dcm", index)


@fault(27, "W-MULTI-ACQUISITION")
def two_acquisitions_at_the_same_places(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: setattr(dataset, "AcquisitionNumber", 1))
    for index in range(len(good)):

        def change(dataset: Dataset) -> None:
            dataset.AcquisitionNumber = 2
            _darker(dataset)

        good.add(out, change, f"second{index}.dcm", index)


@fault(27, "W-MULTI-ACQUISITION")
def two_acquisitions_told_apart_by_time(good: GoodSeries, out: Path) -> None:
    def first(dataset: Dataset) -> None:
        dataset.AcquisitionNumber, dataset.AcquisitionTime = 1, "101500"

    def second(dataset: Dataset) -> None:
        dataset.AcquisitionNumber, dataset.AcquisitionTime = 1, "102300"
        _darker(dataset)

    good.edit(out, first)
    for index in range(len(good)):
        good.add(out, second, f"second{index}.dcm", index)


@fault(
    27,
    "W-MULTI-ACQUISITION",
    impossible={"rsna": "without a thickness the two look like one scan whose odd slices came in a second turn"},
)
def two_acquisitions_between_each_other(good: GoodSeries, out: Path) -> None:
    """The second one lies half a step higher, so no two slices share a place."""
    good.edit(out, lambda dataset: setattr(dataset, "AcquisitionNumber", 1))
    for index in range(len(good) - 1):
        half = (good.position(index) + good.position(index + 1)) / 2

        def change(dataset: Dataset, place: np.ndarray = half) -> None:
            dataset.AcquisitionNumber, dataset.ImagePositionPatient = 2, decimal(place)
            _darker(dataset)

        good.add(out, change, f"second{index}.dcm", index)


@fault(45, "E-CONFLICTING-SLICES")
def two_images_at_one_place(good: GoodSeries, out: Path) -> None:
    good.copy(out)
    good.add(out, _darker)


@fault(54, "E-FRAME-OF-REFERENCE")
def frames_of_reference_that_interleave(good: GoodSeries, out: Path) -> None:
    _other_frame_of_reference(good, out, range(0, len(good), 2))


@fault(54, "W-FRAME-OF-REFERENCE")
def frames_of_reference_that_abut(good: GoodSeries, out: Path) -> None:
    _other_frame_of_reference(good, out, range(good.middle))


def _other_frame_of_reference(good: GoodSeries, out: Path, at: range) -> None:
    frames = [generate_uid(entropy_srcs=["frame", kind]) for kind in "ab"]
    for index in range(len(good)):
        dataset = good.load(index)
        with as_it_is():
            dataset.FrameOfReferenceUID = frames[index in at]
        save(dataset, out / good.paths[index].name)
