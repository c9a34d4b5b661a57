"""Small CT series written with pydicom alone, for tests: nothing here comes from the code under test.

The pixels have the shares of air, fat, soft tissue and bone of a head and a ramp in them that differs between slices, rows and
columns, so that a swapped, mirrored or shifted slice shows. `ramp_hu` says by hand arithmetic what must be read back.
"""

import math
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

ROOT = "1.2.826.0.1.3680043.8.498."
INTERCEPT = -1024
SYNTAXES = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpegls": JPEGLSLossless,
    "jpeg2000": JPEG2000Lossless,
}

Edit = Callable[[Dataset, int], None]


def ramp_hu(index: int, rows: int = 64, columns: int = 80) -> np.ndarray:
    """HU of slice `index` (0 at the feet): -24 + 7 a slice, counted in fives, + 3 a row + 1 a column, counted in hundreds.

    Around this soft tissue lies a frame of bone, 400 + 7 a slice + 1 a column, and around that air, -1000 + 1 a slice + 1 a column; in
    its upper left corner lies a square of fat. For 64 x 80 the air is 8 pixels wide, the bone 2: of 5120 pixels 2048 are air, of the
    other 3072 bone 432 (.14) and fat 256 (.08).
    """
    y, x = np.mgrid[:rows, :columns]
    air, bone = min(rows, columns) // 8, min(rows, columns) // 32
    from_edge = np.minimum(np.minimum(y, rows - 1 - y), np.minimum(x, columns - 1 - x))
    ramp = -24 + 7 * (index % 5) + (3 * y + x) % 100
    hu = np.where(np.maximum(y, x) < 3 * air + bone, -200 + ramp // 4, ramp)
    hu = np.where(from_edge < air + bone, 400 + 7 * (index % 300) + x % 80, hu)
    return np.where(from_edge < air, -1000 + index % 5 + x % 80, hu).astype(np.float32)


def make_slice(
    index: int,
    size: tuple[int, int] = (64, 80),
    spacing_mm: float = 5.0,
    tilt_deg: float = 0.0,
    uid_seed: str = "a",
    signed: bool = False,
) -> Dataset:
    """One CT slice, `index` steps above the lowest; the gantry tilts about the patient's left-right axis."""
    tilt = math.radians(tilt_deg)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = generate_uid(ROOT, [uid_seed, str(index)])
    dataset.StudyInstanceUID = generate_uid(ROOT, [uid_seed, "study"])
    dataset.SeriesInstanceUID = generate_uid(ROOT, [uid_seed, "series"])
    dataset.FrameOfReferenceUID = generate_uid(ROOT, [uid_seed, "frame"])
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientID = "P1"
    dataset.PatientName = "Test^Phantom"
    dataset.PatientBirthDate = ""
    dataset.SeriesDescription = "HEAD 5MM"
    dataset.ConvolutionKernel = "H31s"
    dataset.SliceThickness = f"{spacing_mm:g}"
    dataset.PatientPosition = "HFS"
    dataset.AcquisitionNumber = 1
    dataset.InstanceNumber = index + 1
    dataset.ImagePositionPatient = [-100.0, -110.0, 50.0 + index * spacing_mm / math.cos(tilt)]
    dataset.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, round(math.cos(tilt), 9), round(-math.sin(tilt), 9)]
    dataset.PixelSpacing = [0.5, 0.5]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    set_pixels(dataset, ramp_hu(index, *size), signed)
    return dataset


def set_pixels(dataset: Dataset, hu: np.ndarray, signed: bool = False) -> None:
    """Store HU as 12-bit unsigned pixels with intercept -1024, or as 16-bit signed ones with intercept 0."""
    intercept, bits = (0, 16) if signed else (INTERCEPT, 12)
    stored = (hu - intercept).astype(np.int16 if signed else np.uint16)
    dataset.Rows, dataset.Columns = (int(n) for n in stored.shape)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = int(signed)
    dataset.RescaleIntercept, dataset.RescaleSlope = str(intercept), "1"
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"


def make_series(
    folder: Path, slices: int = 6, edit: Edit | None = None, syntax: str = "explicit", **options: object
) -> list[Path]:
    """`slices` files in `folder`, feet to head, named so that names tell nothing; `edit(dataset, index)` changes each one first."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(slices):
        dataset = make_slice(index, **options)  # pyright: ignore[reportArgumentType]
        path = folder / f"{options.get('uid_seed', 'a')}_{(index * 7919 + 13) % 1000:03d}_{index}.dcm"
        with disable_value_validation(), warnings.catch_warnings():  # faulty values are what edits are for
            warnings.simplefilter("ignore")
            if edit is not None:
                edit(dataset, index)
            write(dataset, path, syntax)
        paths.append(path)
    return paths


def write(dataset: Dataset, path: Path, syntax: str = "explicit") -> None:
    """Write one data set in a transfer syntax of `SYNTAXES`."""
    uid = SYNTAXES[syntax]
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CTImageStorage)
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(ROOT, [str(path.name)])
    if syntax in ("rle", "jpegls", "jpeg2000"):
        dataset.compress(uid, generate_instance_uid=False)
        dataset.save_as(path, enforce_file_format=True)
        return
    dataset.file_meta.TransferSyntaxUID = uid
    if syntax == "big":
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    implicit, little = uid == ImplicitVRLittleEndian, uid != ExplicitVRBigEndian
    dataset.save_as(path, enforce_file_format=True, implicit_vr=implicit, little_endian=little)


def make_multiframe(path: Path, slices: int = 6) -> Path:
    """The series of `make_series` as one enhanced CT file: position per frame, the rest shared."""
    single = [make_slice(index) for index in range(slices)]
    dataset = make_slice(0)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    dataset.NumberOfFrames = slices
    dataset.PixelData = b"".join(one.PixelData for one in single)
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        delattr(dataset, keyword)
    dataset.SharedFunctionalGroupsSequence = [_shared_groups(single[0])]
    dataset.PerFrameFunctionalGroupsSequence = [_frame_groups(one) for one in single]
    path.parent.mkdir(parents=True, exist_ok=True)
    write(dataset, path)
    return path


def _shared_groups(one: Dataset) -> Dataset:
    shared = Dataset()
    shared.PlaneOrientationSequence = [_only(one, "ImageOrientationPatient")]
    shared.PixelMeasuresSequence = [_only(one, "PixelSpacing", "SliceThickness")]
    shared.PixelValueTransformationSequence = [_only(one, "RescaleSlope", "RescaleIntercept")]
    shared.PixelValueTransformationSequence[0].RescaleType = "HU"
    return shared


def _frame_groups(one: Dataset) -> Dataset:
    groups = Dataset()
    groups.PlanePositionSequence = [_only(one, "ImagePositionPatient")]
    return groups


def _only(one: Dataset, *keywords: str) -> Dataset:
    item = Dataset()
    for keyword in keywords:
        setattr(item, keyword, one.get(keyword))
    return item


def as_rsna(dataset: Dataset, index: int) -> None:
    """The header as RSNA's files have it: `ID_` identifiers and no SOPClassUID, InstanceNumber or SliceThickness."""
    for keyword in (
        "SOPClassUID",
        "InstanceNumber",
        "SliceThickness",
        "AcquisitionNumber",
        "ImageType",
        "FrameOfReferenceUID",
    ):
        delattr(dataset, keyword)
    dataset.SOPInstanceUID = f"ID_{index:09x}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "ID_1f6d1e8aeb", "ID_4d28912ba6"


def shuffled_copy(paths: Sequence[Path], folder: Path) -> Path:
    """The same files under other names in another order of names."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(reversed(paths)):
        shutil.copy(path, folder / f"IM{(number * 37) % len(paths):04d}")
    return folder


def generate_series_uid(uid_seed: str) -> str:
    """The SeriesInstanceUID that `make_series` gives for a seed."""
    return str(generate_uid(ROOT, [uid_seed, "series"]))


def generate_study_uid(uid_seed: str) -> str:
    """The StudyInstanceUID that `make_series` gives for a seed."""
    return str(generate_uid(ROOT, [uid_seed, "study"]))
