"""Faults of transfer syntaxes and compressed pixels (catalogue, cases 72 to 75)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from .fault import fault
from .good import GoodSeries
from .stored import hu_of, store_12_bits


def compressed(dataset: Dataset, syntax: str, hu: np.ndarray | None = None) -> bytes:
    """The slice (or other HU) compressed without loss in place; its stream comes back."""
    store_12_bits(dataset, hu_of(dataset) if hu is None else hu)
    dataset.compress(UID(syntax), generate_instance_uid=False)
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def _stream_changed(syntax: str, change: Callable[[bytes], bytes]) -> Callable[[Dataset], None]:
    def edit(dataset: Dataset) -> None:
        dataset.PixelData = encapsulate([change(compressed(dataset, syntax))])

    return edit


def _half(stream: bytes) -> bytes:
    return stream[: len(stream) // 4 * 2]


@fault(72, "D-TRUNCATED", "W-SLICE-GAP")
def jpeg_ls_truncated(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _stream_changed(JPEGLSLossless, _half))


@fault(72, "D-TRUNCATED", "W-SLICE-GAP")
def jpeg_2000_truncated(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _stream_changed(JPEG2000Lossless, _half))


@fault(72, "D-UNREADABLE", "W-SLICE-GAP")
def rle_truncated(good: GoodSeries, out: Path) -> None:
    """Run lengths have no end marker: the decoder finds that the second half of the bytes ends too early."""
    good.edit_one(out, _stream_changed(RLELossless, lambda stream: stream[: len(stream) // 8 * 6]))


@fault(72, "D-TRUNCATED", "W-SLICE-GAP")
def compressed_file_cut_off(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, lambda dataset: compressed(dataset, JPEGLSLossless))
    path = out / good.paths[good.middle].name
    path.write_bytes(path.read_bytes()[:-2000])


@fault(72, "D-CODESTREAM", "W-SLICE-GAP")
def a_stream_of_another_size(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        rows, columns, hu = dataset.Rows, dataset.Columns, hu_of(dataset)
        compressed(dataset, JPEG2000Lossless, hu[: rows // 2, : columns // 2])
        dataset.Rows, dataset.Columns = rows, columns

    good.edit_one(out, change)


@fault(72, "D-CODESTREAM", "W-SLICE-GAP")
def a_stream_of_another_codec(good: GoodSeries, out: Path) -> None:
    """A JPEG 2000 stream under the name of JPEG-LS."""

    def change(dataset: Dataset) -> None:
        compressed(dataset, JPEG2000Lossless)
        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless

    good.edit_one(out, change)


@fault(72, "D-TRANSFER-SYNTAX", "W-SLICE-GAP")
def an_unknown_transfer_syntax_in_one(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _named("1.2.840.10008.1.2.4.100"))


@fault(72, "D-TRANSFER-SYNTAX", "E-NO-SLICE-LEFT")
def twelve_bit_dct(good: GoodSeries, out: Path) -> None:
    good.edit(out, _named("1.2.840.10008.1.2.4.51"))


def _named(syntax: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        compressed(dataset, JPEGLSLossless)
        dataset.file_meta.TransferSyntaxUID = UID(syntax)

    return change


@fault(73, "W-TS-MISLABELLED")
def compressed_but_called_native(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        compressed(dataset, JPEGLSLossless)
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian

    good.edit(out, change)


@fault(73, "W-TS-MISLABELLED")
def native_but_called_compressed(good: GoodSeries, out: Path) -> None:
    """The pixel element has a length, though its transfer syntax has it encapsulated: changed in the bytes of the file."""
    for index in range(len(good)):
        name = good.paths[index].name
        raw = good.paths[index].read_bytes()
        before, after = _meta_element(ExplicitVRLittleEndian), _meta_element(JPEGLSLossless)
        if raw.count(before) != 1:
            raise ValueError(f"{name} is not explicit little endian")
        length = int.from_bytes(raw[140:144], "little") + len(after) - len(before)
        (out / name).write_bytes(raw[:140] + length.to_bytes(4, "little") + raw[144:].replace(before, after))


def _meta_element(syntax: str) -> bytes:
    text = syntax.encode() + b"\0" * (len(syntax) % 2)
    return b"\x02\x00\x10\x00UI" + len(text).to_bytes(2, "little") + text


@fault(74, "D-TRUNCATED", "W-SLICE-GAP")
def no_fragment_at_all(good: GoodSeries, out: Path) -> None:
    """Encapsulated pixel data with an offset table and nothing after it."""

    def change(dataset: Dataset) -> None:
        compressed(dataset, JPEGLSLossless)
        dataset.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"

    good.edit_one(out, change)
