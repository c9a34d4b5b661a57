"""Faults of the way from stored values to HU (catalogue, section D)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from .fault import fault
from .good import GoodSeries
from .stored import hu_of, store, store_12_bits

_INTERCEPT = 0x00281052
_GONE = ("D-BAD-RESCALE", "W-SLICE-GAP")
_OUTLIER = ("W-RESCALE-OUTLIER", "W-SLICE-GAP")


def _in_12_bits(**changes: object) -> Callable[[Dataset], None]:
    """A slice as 12 bits with intercept -1024 and slope 1, then some of its elements changed; None removes one."""

    def change(dataset: Dataset) -> None:
        store_12_bits(dataset, hu_of(dataset))
        for keyword, value in changes.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)

    return change


@fault(64, "E-HU-IMPLAUSIBLE")
def intercept_of_zero(good: GoodSeries, out: Path) -> None:
    good.edit(out, _in_12_bits(RescaleIntercept="0"))


@fault(64, "E-HU-IMPLAUSIBLE")
def intercept_doubled(good: GoodSeries, out: Path) -> None:
    good.edit(out, _in_12_bits(RescaleIntercept="-2048"))


@fault(64, "E-HU-IMPLAUSIBLE")
def intercept_of_the_wrong_sign(good: GoodSeries, out: Path) -> None:
    good.edit(out, _in_12_bits(RescaleIntercept="1024"))


@fault(64, "E-NO-RESCALE")
def no_rescale_and_no_hu(good: GoodSeries, out: Path) -> None:
    good.edit(out, _in_12_bits(RescaleIntercept=None, RescaleSlope=None))


@fault(64, "W-NO-RESCALE")
def no_rescale_but_hu(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        store(dataset, np.maximum(hu_of(dataset), -1024), 16, True, 0)
        del dataset.RescaleSlope, dataset.RescaleIntercept

    good.edit(out, change)


@fault(65, "D-NO-RESCALE", "W-SLICE-GAP")
def no_rescale_in_one(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _in_12_bits(RescaleIntercept=None, RescaleSlope=None))


@fault(65, *_OUTLIER)
def intercept_of_zero_in_one(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _in_12_bits(RescaleIntercept="0"))


@fault(65, *_OUTLIER)
def intercept_doubled_in_one(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _in_12_bits(RescaleIntercept="-2048"))


@fault(66, *_GONE)
def intercept_nan(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _in_12_bits(RescaleIntercept="nan"))


@fault(66, *_GONE)
def intercept_empty(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _in_12_bits(RescaleIntercept=""))


@fault(66, *_GONE)
def intercept_of_two_values(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _in_12_bits(RescaleIntercept=["-1024", "0"]))


@fault(66, *_GONE)
def intercept_of_text(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        store_12_bits(dataset, hu_of(dataset))
        dataset[_INTERCEPT] = DataElement(_INTERCEPT, "LO", "abcd")  # pydicom writes no letters as a decimal string

    good.edit_one(out, change)


@fault(66, *_GONE)
def slope_of_zero(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _in_12_bits(RescaleSlope="0"))


@fault(66, *_GONE)
def slope_beyond_reason(good: GoodSeries, out: Path) -> None:
    good.edit_one(out, _in_12_bits(RescaleSlope="1e308"))


@fault(66, "D-BAD-RESCALE", "E-NO-SLICE-LEFT")
def slope_negative(good: GoodSeries, out: Path) -> None:
    good.edit(out, _in_12_bits(RescaleSlope="-1"))


@fault(68, "E-NOT-HU")
def rescale_type_unspecified(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: setattr(dataset, "RescaleType", "US"))


@fault(28, "E-NOT-HU")
def rescale_type_of_effective_atomic_number(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: setattr(dataset, "RescaleType", "Z_EFF"))
