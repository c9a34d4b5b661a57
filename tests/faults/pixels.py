"""Faults of the stored pixels: length, format, sign, order of bytes (catalogue, section D)."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from .fault import fault
from .good import GoodSeries, save
from .stored import hu_of, store, store_8_bits, store_12_bits


def _bits(allocated: int, stored: int, high: int) -> dict[str, int]:
    return {"BitsAllocated": allocated, "BitsStored": stored, "HighBit": high}


def _change_one(good: GoodSeries, out: Path, values: dict[str, int]) -> None:
    def change(dataset: Dataset) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    good.edit_one(out, change)


@fault(56, "D-NOT-GRAYSCALE", "E-NO-SLICE-LEFT")
def colour_only(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        grey = np.clip((hu_of(dataset) + 40) * 2, 0, 255).astype(np.uint8)
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
        dataset.PixelData = np.repeat(grey[..., None], 3, axis=2).tobytes()

    good.edit(out, change)


@fault(56, "D-NOT-GRAYSCALE", "W-SLICE-GAP")
def a_palette_in_one(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, lambda dataset: setattr(dataset, "PhotometricInterpretation", "PALETTE COLOR"))


@fault(57, "E-HU-IMPLAUSIBLE")
def signed_values_read_as_unsigned(good: GoodSeries, out: Path) -> None:
    """Air at -1000 becomes 64536."""

    def change(dataset: Dataset) -> None:
        store(dataset, hu_of(dataset), 16, True, 0)
        dataset.PixelRepresentation = 0

    good.edit(out, change)


@fault(58, "W-WRAPPED-12BIT")
def wrapped_at_12_bits(good: GoodSeries, out: Path) -> None:
    """RSNA 2019's fault: intercept 0, 12 unsigned bits, air at 3096."""

    def change(dataset: Dataset) -> None:
        store(dataset, np.clip(hu_of(dataset), -1000, 2700) % 4096, 12, False, 0)

    good.edit(out, change)


@fault(57, "E-HU-IMPLAUSIBLE")
def inverted(good: GoodSeries, out: Path) -> None:
    """Grey values as for a film: bone is -1024."""

    def change(dataset: Dataset) -> None:
        store_12_bits(dataset, 2047 - hu_of(dataset))

    good.edit(out, change)


@fault(57, "E-HU-IMPLAUSIBLE")
def bytes_swapped(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        store(dataset, hu_of(dataset) + 1024, 16, False, -1024)
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").byteswap().tobytes()

    good.edit(out, change)


@fault(57, "E-HU-IMPLAUSIBLE")
def noise_for_an_image(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        noise = np.random.default_rng(0).integers(0, 4096, (dataset.Rows, dataset.Columns))
        store(dataset, noise, 12, False, -1024)

    good.edit(out, change)


@fault(60, "D-BITS", "W-SLICE-GAP")
def more_bits_stored_than_allocated(good: GoodSeries, out: Path) -> None:
    _change_one(good, out, _bits(16, 20, 19))


@fault(62, "D-BITS", "W-SLICE-GAP")
def bits_allocated_32(good: GoodSeries, out: Path) -> None:
    _change_one(good, out, _bits(32, 32, 31))


@fault(61, "W-RESCALE-OUTLIER", "W-SLICE-GAP")
def high_bit_elsewhere(good: GoodSeries, out: Path) -> None:
    """Said, but not so: the values lie in the low bits, and those of the slice are then not those of its neighbours."""
    _change_one(good, out, _bits(16, 12, 15))


@fault(61, "D-BITS", "W-SLICE-GAP")
def high_bit_beyond_the_cell(good: GoodSeries, out: Path) -> None:
    _change_one(good, out, _bits(16, 12, 16))


@fault(62, "W-8BIT")
def eight_bits(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: store_8_bits(dataset, hu_of(dataset)))


@fault(63, "W-PADDING-VALUE")
def padding_value_among_tissue(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        store_12_bits(dataset, hu_of(dataset))
        dataset.add_new("PixelPaddingValue", "US", 1024 + 40)

    good.edit(out, change)


@fault(69, "W-EMPTY-SLICE")
def a_slice_of_one_value(good: GoodSeries, out: Path) -> None:
    """The topmost slice is air throughout."""

    def change(dataset: Dataset) -> None:
        store(dataset, np.full((dataset.Rows, dataset.Columns), 24), 12, False, -1024)

    good.edit(out, change, {len(good) - 1})


@fault(70, "D-TRUNCATED", "W-SLICE-GAP")
def truncated_pixels(good: GoodSeries, out: Path) -> None:
    """The file ends in the middle of the image, as an interrupted copy does."""
    good.copy(out)
    path = out / good.paths[good.middle].name
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 2])


@fault(70, "D-TRUNCATED", "W-SLICE-GAP")
def pixel_element_too_short(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, lambda dataset: setattr(dataset, "PixelData", dataset.PixelData[:-512]))


@fault(71, "D-PIXEL-LENGTH", "W-SLICE-GAP")
def pixels_too_long(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, lambda dataset: setattr(dataset, "PixelData", dataset.PixelData * 3))


@fault(70, "D-NO-PIXELS", "W-SLICE-GAP")
def no_pixels_in_one(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, lambda dataset: delattr(dataset, "PixelData"))


@fault(78, "D-MULTIFRAME", "E-NO-SLICE-LEFT")
def many_frames_without_groups(good: GoodSeries, out: Path) -> None:
    dataset = good.load(0)
    dataset.PixelData = b"".join(good.load(index).PixelData for index in range(len(good)))
    dataset.NumberOfFrames, dataset.SOPInstanceUID = len(good), generate_uid(entropy_srcs=["frames"])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient"):
        delattr(dataset, keyword)
    save(dataset, out / "frames.dcm")
