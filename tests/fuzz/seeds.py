"""The series from which mutants are made: four 64 x 64 slices of a plausible head in every transfer syntax that can be written.

Written with pydicom and GDCM alone. `Slice` says by construction what must be read back: nothing here comes from the code
under test.
"""

import io
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dicom_factory import as_rsna, make_multiframe, make_slice
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

SLICES = 4
SIZE = 64
NATIVE = {
    "implicit": "1.2.840.10008.1.2",
    "explicit": "1.2.840.10008.1.2.1",
    "big": "1.2.840.10008.1.2.2",
    "deflated": "1.2.840.10008.1.2.1.99",
}
_JPEG = "1.2.840.10008.1.2.4."
_PYDICOM = {
    "rle": ("1.2.840.10008.1.2.5", {}),
    "jpegls": (_JPEG + "80", {}),
    "jpegls-near": (_JPEG + "81", {"jls_error": 2}),
    "jpeg2000": (_JPEG + "90", {}),
    "jpeg2000-lossy": (_JPEG + "91", {"j2k_cr": [4]}),
}
_GDCM = {
    "jpeg-lossless": "JPEGLosslessProcess14",
    "jpeg-sv1": "JPEGLosslessProcess14_1",
    "jpeg-baseline": "JPEGBaselineProcess1",
}
TOLERANCE = {"jpegls-near": 2.0, "jpeg2000-lossy": 30.0, "jpeg-baseline": 2.0}
"""Stored units by which a lossy codec may differ from what it was given: its own bound, or what was seen and a little."""


@dataclass(frozen=True)
class Slice:
    """What one slice of a seed holds: stored values, and the file (by number) and frame in which it lies."""

    file: int
    frame: int
    stored: np.ndarray


@dataclass(frozen=True, eq=False)
class Seed:
    """One good series: the bytes of its files, its slices feet to head, and by how many stored units a lossy codec may differ."""

    name: str
    files: tuple[bytes, ...]
    slices: tuple[Slice, ...]
    tolerance: float = 0.0


def head_hu(index: int, size: int = SIZE) -> np.ndarray:
    """HU of slice `index`: air, a ring of bone, and within it soft tissue whose texture differs by slice, row and column."""
    y, x = np.mgrid[:size, :size]
    radius = np.hypot(y - size / 2 + 0.5, x - size / 2 + 0.5) / size
    tissue = 10 + (7 * index + 3 * y + x) % 50
    hu = np.where(radius < 0.31, tissue, np.where(radius < 0.36, 700 + 11 * index + y, -1000 + (x + index) % 7))
    return hu.astype(np.int32)


def made_seeds() -> list[Seed]:
    """Every seed that can be made without a file of anybody else's."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seeds = [_series(name, name) for name in (*NATIVE, *_PYDICOM, *_GDCM)]
        seeds += [
            _series("signed-padded", "explicit", _signed_padded),
            _series("private", "explicit", _private),
            _series("private-implicit", "implicit", _private),
            _series("private-big", "big", _private),
            _series("rsna", "implicit", as_rsna),
            _series("fragments", "jpeg2000", finish=_fragmented),
            _series("no-preamble", "implicit", finish=lambda raw: raw[_after_meta(raw) :]),
            _series("no-preamble-explicit", "explicit", finish=lambda raw: raw[132:]),
            *_multiframes(Path(folder)),
        ]
    return seeds


def real_seeds(folder: Path, largest: int = 700_000) -> list[Seed]:
    """Single real files of a folder as seeds without known pixels: there the independent reader judges alone."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in ("", ".dcm"))
    found = []
    for path in paths:
        if path.stat().st_size <= largest:
            found.append(Seed(path.relative_to(folder).as_posix(), (path.read_bytes(),), ()))
    return found


def _series(
    name: str,
    syntax: str,
    edit: Callable[[Dataset, int], None] | None = None,
    finish: Callable[[bytes], bytes] | None = None,
) -> Seed:
    files, slices = [], []
    for index in range(SLICES):
        dataset = _head(index, name, bits=8 if syntax == "jpeg-baseline" else 12)
        if edit is not None:
            edit(dataset, index)
        kind = {8: "u1", 16: "i2" if dataset.PixelRepresentation else "<u2"}[dataset.BitsAllocated]
        stored = np.frombuffer(dataset.PixelData, kind).reshape(SIZE, SIZE).astype(np.int32)
        raw = written(dataset, syntax)
        files.append(finish(raw) if finish else raw)
        slices.append(Slice(index, 0, stored))
    return Seed(name, tuple(files), tuple(slices), TOLERANCE.get(syntax, 0.0))


def _head(index: int, name: str, bits: int = 12) -> Dataset:
    """One slice with RescaleIntercept -1024 and slope 1 (16 where bits are 8)."""
    dataset = make_slice(index, size=(SIZE, SIZE), uid_seed=name)
    dataset.PixelSpacing = [3.4, 3.4]
    if bits == 8:
        dataset.RescaleSlope = "16"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = ((head_hu(index) + 1024) // 16).clip(0, 255).astype(np.uint8).tobytes()
    else:
        dataset.PixelData = (head_hu(index) + 1024).astype("<u2").tobytes()
    return dataset


def _signed_padded(dataset: Dataset, index: int) -> None:
    """16 signed bits without intercept, the corners filled with a declared padding value."""
    hu = head_hu(index)
    y, x = np.mgrid[:SIZE, :SIZE]
    hu[np.hypot(y - 31.5, x - 31.5) > 33] = -2000
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 15, 1
    dataset.RescaleIntercept = "0"
    dataset.add_new(0x00280120, "SS", -2000)
    dataset.PixelData = hu.astype("<i2").tobytes()


def _private(dataset: Dataset, index: int) -> None:
    """Private elements, and sequences of defined and undefined length, an icon with pixel data of its own among them."""
    block = dataset.private_block(0x0009, "ACME 1.1", create=True)
    block.add_new(0x10, "LO", "a private text")
    block.add_new(0x11, "OB", bytes(range(64)))
    inner, outer = Dataset(), Dataset()
    inner.CodeValue, inner.RescaleIntercept, inner.ImagePositionPatient = "T-A0100", "7", [1.0, 2.0, 3.0]
    outer.AnatomicRegionSequence = [inner]
    outer.CodeMeaning = "Head"
    dataset.AnatomicRegionSequence = Items([inner])
    dataset.RequestAttributesSequence = Items([outer, inner])
    dataset["RequestAttributesSequence"].is_undefined_length = True
    dataset.RequestAttributesSequence[0].is_undefined_length_sequence_item = True
    icon = Dataset()
    icon.Rows = icon.Columns = 2
    icon.BitsAllocated, icon.BitsStored, icon.HighBit, icon.PixelRepresentation = 8, 8, 7, 0
    icon.PixelData = b"\1\2\3\4"
    icon["PixelData"].VR = "OB"
    dataset.IconImageSequence = [icon]
    dataset.RescaleType = "HU"
    dataset.add_new(0xFFFCFFFC, "OB", b"\0" * (2 + 2 * index))


def written(dataset: Dataset, syntax: str) -> bytes:
    """The data set as the bytes of a file in one syntax; its pixel data are unsigned or signed little endian before."""
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    if syntax in _PYDICOM:
        uid, options = _PYDICOM[syntax]
        dataset.compress(uid, generate_instance_uid=False, **options)
    elif syntax in _GDCM:
        _compress_with_gdcm(dataset, _GDCM[syntax])
    else:
        dataset.file_meta.TransferSyntaxUID = NATIVE[syntax]
        if syntax == "big":
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    out = io.BytesIO()
    uid = dataset.file_meta.TransferSyntaxUID
    dataset.save_as(
        out,
        enforce_file_format=True,
        implicit_vr=uid == ImplicitVRLittleEndian,
        little_endian=uid != ExplicitVRBigEndian,
    )
    return out.getvalue()


def _compress_with_gdcm(dataset: Dataset, syntax: str) -> None:
    """The pixel data as GDCM encodes them."""
    import gdcm

    with tempfile.TemporaryDirectory() as folder:
        plain, coded = Path(folder) / "plain.dcm", Path(folder) / "coded.dcm"
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(plain, enforce_file_format=True)
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(plain))
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
        writer.SetFileName(str(coded))
        if not reader.Read():
            raise RuntimeError("GDCM cannot read the slice")
        change.SetInput(reader.GetImage())
        if not change.Change():
            raise RuntimeError(f"GDCM cannot write {syntax}")
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        if not writer.Write():
            raise RuntimeError(f"GDCM cannot write {syntax}")
        other = dcmread(coded)
    dataset.file_meta.TransferSyntaxUID = other.file_meta.TransferSyntaxUID
    dataset.PixelData = other.PixelData
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def _fragmented(raw: bytes) -> bytes:
    """The one frame in three fragments, with an empty offset table."""
    dataset = dcmread(io.BytesIO(raw))
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([frame], fragments_per_frame=3, has_bot=False)
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _after_meta(raw: bytes) -> int:
    """Where the data set begins: after group 2, whose length its first element states. Source: PS3.10 section 7.1."""
    return 144 + int.from_bytes(raw[140:144], "little")


def _multiframes(folder: Path) -> Sequence[Seed]:
    """One enhanced file of four frames, native and compressed."""
    dataset = dcmread(make_multiframe(folder / "enhanced.dcm", SLICES))
    dataset.Rows = dataset.Columns = SIZE
    stored = [(head_hu(index) + 1024).astype("<u2") for index in range(SLICES)]
    dataset.PixelData = b"".join(frame.tobytes() for frame in stored)
    slices = tuple(Slice(0, index, frame.astype(np.int32)) for index, frame in enumerate(stored))
    plain = written(dataset, "explicit")
    return [
        Seed("enhanced", (plain,), slices),
        Seed("enhanced-implicit", (written(dcmread(io.BytesIO(plain)), "implicit"),), slices),
        Seed("enhanced-rle", (written(dcmread(io.BytesIO(plain)), "rle"),), slices),
        Seed("enhanced-jpegls", (written(dcmread(io.BytesIO(plain)), "jpegls"),), slices),
    ]
