"""Stored values and HU of a native slice, and slices made from them."""

import numpy as np
from pydicom.dataset import Dataset


def stored_of(dataset: Dataset) -> np.ndarray:
    """Stored values as BitsStored and PixelRepresentation say, int32."""
    kind = "<i2" if dataset.PixelRepresentation else "<u2"
    return np.frombuffer(dataset.PixelData, kind).reshape(dataset.Rows, dataset.Columns).astype(np.int32)


def hu_of(dataset: Dataset) -> np.ndarray:
    """HU, padding included, as whole numbers."""
    return np.rint(stored_of(dataset) * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)).astype(np.int32)


def store(dataset: Dataset, values: np.ndarray, bits: int, signed: bool, intercept: float) -> None:
    """Pixels of `bits` bits in 16, with the rescale that makes HU of them; no padding is declared any more."""
    dataset.Rows, dataset.Columns = (int(size) for size in values.shape)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = int(signed)
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", f"{intercept:g}"
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit", "SmallestImagePixelValue", "LargestImagePixelValue"):
        if keyword in dataset:
            delattr(dataset, keyword)
    dataset.PixelData = values.astype("<i2" if signed else "<u2").tobytes()
    dataset["PixelData"].VR = "OW"


def store_12_bits(dataset: Dataset, hu: np.ndarray) -> None:
    """HU from -1024 to 3071 as 12 unsigned bits, as most scanners write them."""
    store(dataset, np.clip(hu, -1024, 3071) + 1024, 12, False, -1024)


def store_8_bits(dataset: Dataset, hu: np.ndarray) -> None:
    """HU in steps of 16 as 8 bits."""
    store(dataset, np.zeros(hu.shape, np.uint16), 16, False, -1024)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.RescaleSlope = "16"
    dataset.PixelData = (np.clip(hu + 1024, 0, 4095) // 16).astype(np.uint8).tobytes()
    dataset["PixelData"].VR = "OB"
