"""A good series as what faults are made from: its files in order, and ways to write them changed."""

import os
import shutil
import stat
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

Edit = Callable[[Dataset], object]


@contextmanager
def as_it_is() -> Iterator[None]:
    """No word from pydicom on values that break the standard: they are what faults are made of."""
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@lru_cache(maxsize=8)
def _ordered(folder: Path) -> tuple[Path, ...]:
    """The DICOM files of a good series by their height in the patient, feet to head."""
    with as_it_is():
        heights = {
            path: float(pydicom.dcmread(path, specific_tags=["ImagePositionPatient"]).ImagePositionPatient[2])
            for path in sorted(folder.glob("*.dcm"))
        }
    return tuple(sorted(heights, key=heights.__getitem__))


class GoodSeries:
    """The slices of one good series, feet to head."""

    def __init__(self, folder: Path) -> None:
        self.paths = _ordered(folder)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def middle(self) -> int:
        """A slice with several on both sides, and not where spacing changes by protocol: there a missing one hides in the change."""
        return len(self) * 5 // 8

    def load(self, index: int) -> Dataset:
        """One slice, pixels included."""
        with as_it_is():
            return pydicom.dcmread(self.paths[index])

    def copy(self, out: Path, leave_out: Collection[int] = ()) -> None:
        """The files as they are, some of them left out."""
        for index, path in enumerate(self.paths):
            if index not in leave_out:
                shutil.copyfile(path, out / path.name)

    def edit(self, out: Path, change: Edit, at: Collection[int] | None = None) -> None:
        """Each slice (or those `at`) changed, the others as they are."""
        for index, path in enumerate(self.paths):
            if at is None or index in at:
                dataset = self.load(index)
                with as_it_is():
                    change(dataset)
                save(dataset, out / path.name)
            else:
                shutil.copyfile(path, out / path.name)

    def edit_one(self, out: Path, change: Edit) -> None:
        """The slice in the middle changed, the others as they are."""
        self.edit(out, change, {self.middle})

    def add(self, out: Path, change: Edit, name: str = "added.dcm", index: int | None = None) -> None:
        """One more file, made from a slice (the middle one) under an identifier of its own; the series itself is not written."""
        dataset = self.load(self.middle if index is None else index)
        with as_it_is():
            dataset.SOPInstanceUID = generate_uid(entropy_srcs=[name])
            change(dataset)
        save(dataset, out / name)

    def position(self, index: int) -> np.ndarray:
        """ImagePositionPatient in mm."""
        return np.array(self.load(index).ImagePositionPatient, dtype=float)

    def normal(self) -> np.ndarray:
        """The unit normal of the slices."""
        plane = np.array(self.load(self.middle).ImageOrientationPatient, dtype=float)
        return np.cross(plane[:3], plane[3:])


def save(dataset: Dataset, path: Path) -> None:
    """Write a data set in the transfer syntax that it names, whatever its values are."""
    with as_it_is():
        meta = dataset.file_meta
        meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CTImageStorage)
        meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID") or "1.2.3"
        dataset.save_as(path, enforce_file_format=True)


def no_object(dataset: Dataset) -> Dataset:
    """A data set without pixels that names the patient, the study and nothing else, for another kind of object."""
    other = Dataset()
    other.file_meta = pydicom.dataset.FileMetaDataset()
    other.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword in ("PatientID", "StudyInstanceUID"):
        setattr(other, keyword, dataset.get(keyword, ""))
    return other


def decimal(values: Collection[float]) -> list[str]:
    """Numbers as DICOM decimal strings of at most 16 characters."""
    return [f"{value:.10g}" for value in values]


def zip_folder(folder: Path, path: Path) -> Path:
    """The files of a folder as one zip, links and pipes as the entries that Info-ZIP makes of them."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            mode = file.lstat().st_mode
            if stat.S_ISDIR(mode):
                continue
            entry = zipfile.ZipInfo(str(file.relative_to(folder)))
            entry.external_attr = mode << 16
            regular, link = stat.S_ISREG(mode), stat.S_ISLNK(mode)
            archive.writestr(entry, file.read_bytes() if regular else os.readlink(file) if link else b"")
    return path
