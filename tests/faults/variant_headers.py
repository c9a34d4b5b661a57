"""Harmless variants of names, order, identifiers and geometry: they must be read as what they come from."""

import random
import shutil
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from .fault import variant
from .good import GoodSeries, as_it_is, decimal, save
from .stored import hu_of, store_12_bits

_RSNA_LACKS = (
    "SOPClassUID",
    "InstanceNumber",
    "SliceThickness",
    "AcquisitionNumber",
    "ImageType",
    "FrameOfReferenceUID",
)


@variant()
def renamed_and_shuffled(good: GoodSeries, out: Path) -> None:
    paths = list(good.paths)
    random.Random(3).shuffle(paths)
    for number, path in enumerate(paths):
        shutil.copyfile(path, out / f"IM{number:04d}")


@variant()
def in_sub_folders(good: GoodSeries, out: Path) -> None:
    for index, path in enumerate(good.paths):
        folder = out / f"{index % 3}" / "deeper"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.name)


@variant()
def no_instance_number(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: dataset.pop("InstanceNumber", None))


@variant(note="N-INSTANCE-ORDER")
def scrambled_instance_number(good: GoodSeries, out: Path) -> None:
    numbers = list(range(len(good)))
    random.Random(5).shuffle(numbers)
    _numbered(good, out, numbers)


@variant()
def one_instance_number_for_all(good: GoodSeries, out: Path) -> None:
    _numbered(good, out, [1] * len(good))


def _numbered(good: GoodSeries, out: Path, numbers: list[int]) -> None:
    for index, number in enumerate(numbers):
        dataset = good.load(index)
        dataset.InstanceNumber = number
        save(dataset, out / good.paths[index].name)


@variant()
def positions_that_jitter(good: GoodSeries, out: Path) -> None:
    """By less than 0.05 mm along each axis."""
    rng = np.random.default_rng(1)

    def change(dataset: Dataset) -> None:
        place = np.array(dataset.ImagePositionPatient, dtype=float) + rng.uniform(-0.05, 0.05, 3)
        dataset.ImagePositionPatient = decimal(place)

    good.edit(out, change)


@variant()
def slices_that_overlap(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: setattr(dataset, "SliceThickness", "10"))


@variant(note="N-UID-NONSTANDARD")
def identifiers_like_rsna(good: GoodSeries, out: Path) -> None:
    for index, path in enumerate(good.paths):
        dataset = good.load(index)
        for keyword in _RSNA_LACKS:
            dataset.pop(keyword, None)
        with as_it_is():
            dataset.SOPInstanceUID = f"ID_{index:09x}"
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "ID_1f6d1e8aeb", "ID_4d28912ba6"
        save(dataset, out / path.name)


@variant(note="N-UID-NONSTANDARD")
def identifiers_like_paths(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID = "../../../etc/passwd", "/etc/shadow"

    good.edit(out, change)


@variant()
def text_that_breaks_the_standard(good: GoodSeries, out: Path) -> None:
    """Times of 30 h, names in no character set, an age of letters, markup."""

    def change(dataset: Dataset) -> None:
        dataset.StudyDate, dataset.StudyTime, dataset.PatientAge = "00000000", "306199", "adult"
        dataset.SpecificCharacterSet = ["ISO 2022 IR 999"]
        dataset.StudyDescription = "<script>alert(1)</script>=1+1"

    good.edit(out, change)


@variant(note="N-DUPLICATE-FILE")
def a_file_twice(good: GoodSeries, out: Path) -> None:
    good.copy(out)
    shutil.copyfile(good.paths[good.middle], out / "copy.dcm")


@variant(note="N-DUPLICATE-SLICE")
def a_slice_twice(good: GoodSeries, out: Path) -> None:
    good.copy(out)
    good.add(out, lambda _: None)


@variant(note="N-REORIENTED")
def stored_from_left_to_right(good: GoodSeries, out: Path) -> None:
    """Columns the other way round, with the position and orientation that say so."""

    def change(dataset: Dataset) -> None:
        plane = np.array(dataset.ImageOrientationPatient, dtype=float)
        step = float(dataset.PixelSpacing[1])
        place = np.array(dataset.ImagePositionPatient, dtype=float) + plane[:3] * step * (dataset.Columns - 1)
        dataset.ImageOrientationPatient = decimal([*-plane[:3], *plane[3:]])
        dataset.ImagePositionPatient = decimal(place)
        pixels = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)
        dataset.PixelData = pixels[:, ::-1].tobytes()

    good.edit(out, change)


@variant()
def with_a_bone_series(good: GoodSeries, out: Path) -> None:
    _with_another_series(good, out, "ConvolutionKernel", "BONE")


@variant()
def with_a_contrast_series(good: GoodSeries, out: Path) -> None:
    _with_another_series(good, out, "SeriesDescription", "CTA HEAD")


@variant("D-LOCALIZER")
def with_a_localizer_series(good: GoodSeries, out: Path) -> None:
    good.copy(out)
    series = generate_uid(entropy_srcs=["scout"])

    def change(dataset: Dataset) -> None:
        dataset.SeriesInstanceUID, dataset.ImageType = series, ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    good.add(out, change, "scout.dcm")


def _with_another_series(good: GoodSeries, out: Path, keyword: str, value: str) -> None:
    good.copy(out)
    series = generate_uid(entropy_srcs=[keyword])
    for index in range(len(good)):

        def change(dataset: Dataset) -> None:
            dataset.SeriesInstanceUID = series
            setattr(dataset, keyword, value)
            store_12_bits(dataset, hu_of(dataset) + 1)

        good.add(out, change, f"{keyword}{index}.dcm", index)
