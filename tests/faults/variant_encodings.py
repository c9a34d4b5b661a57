"""Harmless variants of how pixels and elements are written, all lossless: they must be read as what they come from."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from .fault import variant
from .good import GoodSeries, as_it_is, save
from .stored import hu_of, store, store_12_bits, stored_of

_SIXTEEN = {"ge": "all 16 bits are stored, none is above them"}
_PADDED = {"ge": "padding at -1500 is below what 12 bits with intercept -1024 hold"}


@variant()
def implicit(good: GoodSeries, out: Path) -> None:
    _in_syntax(good, out, ImplicitVRLittleEndian)


@variant()
def deflated(good: GoodSeries, out: Path) -> None:
    _in_syntax(good, out, DeflatedExplicitVRLittleEndian)


@variant()
def big_endian(good: GoodSeries, out: Path) -> None:
    _in_syntax(good, out, ExplicitVRBigEndian)


def _in_syntax(good: GoodSeries, out: Path, syntax: str) -> None:
    """Native pixels in another syntax; big endian ones with their bytes swapped."""
    for index, path in enumerate(good.paths):
        little = syntax != ExplicitVRBigEndian
        with as_it_is():
            dataset = _afresh(good.load(index))
            dataset.file_meta.TransferSyntaxUID = UID(syntax)
            if not little:
                dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").byteswap().tobytes()
            dataset.save_as(
                out / path.name,
                implicit_vr=syntax == ImplicitVRLittleEndian,
                little_endian=little,
                enforce_file_format=True,
            )


def _afresh(dataset: Dataset) -> Dataset:
    """The same elements, none of them as the bytes that were read: only such a data set can be written in another order of bytes."""
    fresh = Dataset()
    fresh.file_meta = dataset.file_meta
    for element in dataset:
        fresh[element.tag] = element
    return fresh


@variant(impossible=_PADDED)
def high_bit_at_the_top(good: GoodSeries, out: Path) -> None:
    """Old scanners wrote 12 bits into the upper end of 16. Source: DICOM PS3.5 section 8.1.1."""

    def change(dataset: Dataset) -> None:
        store_12_bits(dataset, hu_of(dataset))
        dataset.PixelData = (stored_of(dataset) << 4).astype("<u2").tobytes()
        dataset.HighBit = 15

    good.edit(out, change)


@variant()
def rle(good: GoodSeries, out: Path) -> None:
    good.edit(out, _compressed(RLELossless))


@variant()
def jpeg_ls(good: GoodSeries, out: Path) -> None:
    good.edit(out, _compressed(JPEGLSLossless))


@variant()
def jpeg_2000(good: GoodSeries, out: Path) -> None:
    good.edit(out, _compressed(JPEG2000Lossless))


def _compressed(syntax: str) -> Callable[[Dataset], None]:
    return lambda dataset: dataset.compress(UID(syntax), generate_instance_uid=False)


@variant()
def one_slice_compressed(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _compressed(RLELossless))


@variant(note="N-NO-PREAMBLE")
def no_preamble(good: GoodSeries, out: Path) -> None:
    for path in good.paths:
        (out / path.name).write_bytes(path.read_bytes()[132:])


@variant(note="N-PREAMBLE-NONZERO")
def a_preamble_of_text(good: GoodSeries, out: Path) -> None:
    for path in good.paths:
        (out / path.name).write_bytes(b"exported by a workstation".ljust(128, b" ") + path.read_bytes()[128:])


@variant(note="N-TS-ASSUMED")
def no_transfer_syntax(good: GoodSeries, out: Path) -> None:
    for index, path in enumerate(good.paths):
        save(good.load(index), out / path.name)
        raw = (out / path.name).read_bytes()
        start = 144 + int.from_bytes(raw[140:144], "little")
        (out / path.name).write_bytes(raw[:132] + raw[start:])


@variant(note="N-MONOCHROME1")
def called_monochrome1(good: GoodSeries, out: Path) -> None:
    """HU are no display values, so the label changes none."""
    good.edit(out, lambda dataset: setattr(dataset, "PhotometricInterpretation", "MONOCHROME1"))


@variant(note="N-HIGH-BITS", impossible=_SIXTEEN)
def garbage_above_the_stored_bits(good: GoodSeries, out: Path) -> None:
    rng = np.random.default_rng(2)

    def change(dataset: Dataset) -> None:
        above = rng.integers(0, 16, (dataset.Rows, dataset.Columns)) << 12
        dataset.PixelData = (stored_of(dataset) | above).astype("<u2").tobytes()

    good.edit(out, change)


@variant()
def sixteen_signed_bits(good: GoodSeries, out: Path) -> None:
    """Intercept 0: values are HU."""
    good.edit(out, lambda dataset: _stored_as(dataset, 16, True, 0))


@variant()
def sixteen_unsigned_bits(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: _stored_as(dataset, 16, False, -8192))


@variant(impossible=_PADDED)
def twelve_signed_bits(good: GoodSeries, out: Path) -> None:
    """Intercept 1024: the values of 12 unsigned bits less 2048."""
    good.edit(out, lambda dataset: _stored_as(dataset, 12, True, 1024))


def _stored_as(dataset: Dataset, bits: int, signed: bool, intercept: int) -> None:
    hu = hu_of(dataset)
    store(dataset, hu - intercept, bits, signed, intercept)


@variant()
def values_in_half_units(good: GoodSeries, out: Path) -> None:
    """Values twice as large, slope 0.5: the same HU."""

    def change(dataset: Dataset) -> None:
        hu = hu_of(dataset)
        store(dataset, 2 * (hu + 2000), 16, False, -2000)
        dataset.RescaleSlope = "0.5"

    good.edit(out, change)


@variant()
def pixels_padded_to_a_block(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: setattr(dataset, "PixelData", dataset.PixelData + bytes(512)))


@variant()
def private_elements(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        block = dataset.private_block(0x0029, "SOMEONE", create=True)
        block.add_new(0x01, "OB", random.Random(4).randbytes(5000))
        block.add_new(0x02, "LO", "a word")

    good.edit(out, change)


@variant()
def enhanced_multi_frame(good: GoodSeries, out: Path) -> None:
    """The whole series as one file: position, thickness and rescale per frame, the rest shared."""
    slices = [good.load(index) for index in range(len(good))]
    dataset = good.load(0)
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2.1", generate_uid(entropy_srcs=["enhanced"])
    dataset.NumberOfFrames = len(slices)
    dataset.PixelData = b"".join(one.PixelData for one in slices)
    shared = Dataset()
    shared.PlaneOrientationSequence = [_only(slices[0], "ImageOrientationPatient")]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [_groups(one) for one in slices]
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(dataset, keyword)
    for keyword in ("RescaleIntercept", "SliceThickness", "InstanceNumber", "SliceLocation"):
        dataset.pop(keyword, None)
    save(dataset, out / "enhanced.dcm")


def _groups(one: Dataset) -> Dataset:
    groups = Dataset()
    groups.PlanePositionSequence = [_only(one, "ImagePositionPatient")]
    groups.PixelMeasuresSequence = [_only(one, "PixelSpacing", "SliceThickness")]
    groups.PixelValueTransformationSequence = [_only(one, "RescaleSlope", "RescaleIntercept")]
    return groups


def _only(one: Dataset, *keywords: str) -> Dataset:
    item = Dataset()
    for keyword in keywords:
        if keyword in one:
            setattr(item, keyword, one.get(keyword))
    return item
