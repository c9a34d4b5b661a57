"""What a header says beside the elements that reading goes by: a help where those, or slices at the ends, are missing."""

import math
from dataclasses import dataclass

from ich_seq.dicom.elements import Elements
from ich_seq.dicom.limits import LIMITS

_SLICE_LOCATION = 0x00201041
_SPACING_BETWEEN_SLICES = 0x00180088
_TEMPORAL_POSITION = 0x00200100
_IMAGES_IN_ACQUISITION = 0x00201002
_PATIENT_POSITION = 0x00185100
_LOSSY, _LOSSY_RATIO = 0x00282110, 0x00282112
HINT_TAGS = (
    _SLICE_LOCATION,
    _SPACING_BETWEEN_SLICES,
    _TEMPORAL_POSITION,
    _IMAGES_IN_ACQUISITION,
    _PATIENT_POSITION,
    _LOSSY,
    _LOSSY_RATIO,
)


@dataclass(frozen=True, slots=True)
class Hints:
    """Elements that no slice needs; lengths in mm, None (PatientPosition: empty) where absent or no usable number.

    They are less reliable than position and orientation: SliceLocation has no defined direction (it is taken to grow towards the
    head), and makers fill SpacingBetweenSlices and ImagesInAcquisition in their own ways. `lossy` and `lossy_ratio` (of all losses
    together; None: not stated) hold for pixels that were decompressed since, too. Source: DICOM PS3.3 C.7.6.2.1.2, C.7.6.1.1.5.
    """

    slice_location_mm: float | None = None
    spacing_between_slices_mm: float | None = None
    temporal_position: int | None = None
    images_in_acquisition: int | None = None
    patient_position: str = ""
    lossy: bool = False
    lossy_ratio: float | None = None


NO_HINTS = Hints()
"""A header without any of them."""


def hints_of(elements: Elements) -> Hints:
    """The hints among these elements."""
    location = elements.numbers(_SLICE_LOCATION)
    return Hints(
        slice_location_mm=location[0] if location and len(location) == 1 and _within_reach(location[0]) else None,
        spacing_between_slices_mm=positive_mm(elements.numbers(_SPACING_BETWEEN_SLICES)),
        temporal_position=elements.integer(_TEMPORAL_POSITION),
        images_in_acquisition=elements.integer(_IMAGES_IN_ACQUISITION),
        patient_position=(elements.text(_PATIENT_POSITION) or "").upper(),
        lossy=elements.text(_LOSSY) == "01",
        lossy_ratio=_ratio(elements.numbers(_LOSSY_RATIO)),
    )


def positive_mm(numbers: tuple[float, ...] | None) -> float | None:
    """The one number, where it is a length that can be: above 0, at most 10 m; else None."""
    return numbers[0] if numbers and len(numbers) == 1 and numbers[0] > 0 and _within_reach(numbers[0]) else None


def _ratio(numbers: tuple[float, ...] | None) -> float | None:
    """The product of the ratios of each loss; None where one is no ratio."""
    return math.prod(numbers) if numbers and all(1 <= number <= 1e4 for number in numbers) else None


def _within_reach(length_mm: float) -> bool:
    return abs(length_mm) <= LIMITS.coordinate_mm  # False for nan


def seconds_of(time: str) -> float | None:
    """Seconds since midnight of a DICOM time (HHMMSS.F, or its first parts); None where absent or no time.

    Source: DICOM PS3.5 section 6.2, TM.
    """
    digits, _, fraction = time.strip().replace(":", "").partition(".")
    if (
        not (digits.isascii() and digits.isdigit())
        or len(digits) not in (2, 4, 6)
        or (fraction and not fraction.isdigit())
    ):
        return None
    hours, minutes, seconds = (int(digits[at : at + 2] or 0) for at in (0, 2, 4))
    if hours > 23 or minutes > 59 or seconds > 60:
        return None
    return hours * 3600 + minutes * 60 + seconds + (float(f"0.{fraction}") if fraction else 0.0)
