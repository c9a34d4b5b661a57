"""Series none of whose slices says how stored values become HU."""

from collections.abc import Sequence
from dataclasses import replace

from ich_seq.dicom.codes import Code
from ich_seq.dicom.findings import Finding, finding
from ich_seq.dicom.header import SliceHeader
from ich_seq.dicom.options import ReadOptions


def with_assumed_rescale(
    headers: Sequence[SliceHeader], found: list[Finding], options: ReadOptions
) -> list[SliceHeader]:
    """The slices with slope 1 and the intercept that the user states, or with their values taken as HU.

    The warning that this was done is appended to `found`; `with_verdict` refuses values that are not HU.
    """
    intercept = options.assumed_intercept_hu
    if intercept is None:
        found.append(finding(Code.W_NO_RESCALE))
    else:
        found.append(finding(Code.W_ASSUMED_INTERCEPT, f"{intercept:g} HU"))
    return [replace(header, rescale_slope=(1.0,), rescale_intercept=(intercept or 0.0,)) for header in headers]
