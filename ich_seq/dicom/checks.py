"""Whether one header describes a CT slice that can be used; the first rule that it breaks is the answer."""

import math
from dataclasses import dataclass
from pathlib import Path

from ich_seq.dicom.codes import Code
from ich_seq.dicom.elements import UNDEFINED_LENGTH, FileFaultError
from ich_seq.dicom.header import CT_IMAGE, ENHANCED_CT_IMAGES, SECONDARY_CAPTURES, SliceHeader, file_error, read_header
from ich_seq.dicom.limits import LIMITS
from ich_seq.dicom.modality_lut import ModalityLut
from ich_seq.dicom.options import AS_IT_IS, ReadOptions
from ich_seq.dicom.syntaxes import TRANSFER_SYNTAXES

_GREY = ("MONOCHROME1", "MONOCHROME2", "")


@dataclass(frozen=True, slots=True)
class Rescale:
    """Stored value x slope + intercept = HU."""

    slope: float
    intercept: float


def read_ct_header(path: Path) -> SliceHeader:
    """The header of one single-frame CT file that can be used, for a table of slices: fast, without its pixels.

    Raises:
        PixelsUnreadableError: not DICOM, no CT image, or a header whose pixels, geometry or rescale cannot be used;
        `code`
            says which.
    """
    header = read_header(path)
    try:
        check_is_ct(header)
        check_slice(header)
    except FileFaultError as fault:
        raise file_error(path.name, fault) from fault
    return header


def check_is_ct(header: SliceHeader, options: ReadOptions = AS_IT_IS) -> None:
    """Nothing for a CT image, or for a secondary capture with a rescale where `options` allow those.

    RSNA's files state no SOPClassUID of their own: the one of the file meta information stands in, and Modality where
    both are absent.

    Raises:
        FileFaultError: another kind of object, or a localizer.
    """
    modalities: tuple[str, ...] = ("", "CT")
    if header.sop_class_uid in SECONDARY_CAPTURES and options.allow_sc:
        modalities = ("", "CT", "OT")
        if header.rescale_slope is None or header.rescale_intercept is None:
            raise FileFaultError(Code.D_NOT_CT_IMAGE, "a secondary capture without rescale")
    elif header.sop_class_uid not in ("", CT_IMAGE, *ENHANCED_CT_IMAGES):
        raise FileFaultError(Code.D_NOT_CT_IMAGE)
    if header.modality not in modalities or (not header.modality and not header.sop_class_uid):
        raise FileFaultError(Code.D_NOT_CT_IMAGE)
    if any(value.startswith(("LOCALIZER", "SCOUT", "TOPOGRAM")) for value in header.image_type[2:]):
        raise FileFaultError(Code.D_LOCALIZER)


def check_slice(header: SliceHeader) -> None:
    """Nothing for a slice whose pixels, geometry and rescale can be used.

    Absent geometry and rescale are the series' matter.

    Raises:
        FileFaultError: the rule that the slice breaks.
    """
    check_pixels(header)
    check_geometry(header)
    rescale_of(header)


def check_pixels(header: SliceHeader) -> None:
    """Nothing where the pixel data can be decoded, as far as the header tells; runs before any decoder.

    Raises:
        FileFaultError: colour, pixel format, dimensions, transfer syntax or length are not what CT has.
    """
    layout = header.pixels
    if layout.offset < 0:
        raise FileFaultError(Code.D_NO_PIXELS)
    if layout.samples_per_pixel != 1 or layout.photometric_interpretation not in _GREY:
        raise FileFaultError(Code.D_NOT_GRAYSCALE)
    if not 1 <= layout.number_of_frames <= LIMITS.frames:
        raise FileFaultError(Code.D_DIMENSION_LIMIT, f"{layout.number_of_frames} frames")
    if (
        not LIMITS.matrix_min
        <= min(layout.rows, layout.columns)
        <= max(layout.rows, layout.columns)
        <= LIMITS.matrix_max
    ):
        raise FileFaultError(Code.D_MATRIX, f"{layout.rows} x {layout.columns}")
    _check_bits(header)
    syntax = TRANSFER_SYNTAXES.get(layout.transfer_syntax_uid)
    if syntax is None:
        raise FileFaultError(Code.D_TRANSFER_SYNTAX, _known_uid(layout.transfer_syntax_uid))
    if layout.bits_stored > syntax.max_bits:
        raise FileFaultError(Code.D_TRANSFER_SYNTAX, f"{syntax.name} with {layout.bits_stored} bits")
    _check_length(header, syntax.native)


def check_geometry(header: SliceHeader) -> None:
    """Nothing where position, orientation and pixel spacing are usable or absent.

    Raises:
        FileFaultError: present, but not the right count of finite numbers, beyond 10 m, or not orthonormal.
    """
    position, orientation = header.image_position_patient, header.image_orientation_patient
    if position is not None and not (_finite(position, 3) and max(map(abs, position)) <= LIMITS.coordinate_mm):
        raise FileFaultError(Code.D_BAD_GEOMETRY, "ImagePositionPatient")
    if orientation is not None and not (_finite(orientation, 6) and _orthonormal(orientation)):
        raise FileFaultError(Code.D_BAD_GEOMETRY, "ImageOrientationPatient")
    spacing = header.pixel_spacing_mm
    if spacing is not None and not (_finite(spacing, 2) and all(0.01 < value < 20 for value in spacing)):
        raise FileFaultError(Code.D_BAD_GEOMETRY, "PixelSpacing")


def rescale_of(header: SliceHeader) -> Rescale | ModalityLut | None:
    """Slope and intercept to HU, or the Modality LUT that stands in for them; None where there is neither.

    Raises:
        FileFaultError: one of them only, not one finite number, |intercept| above 32768, or a slope outside (0, 100]; a
        table that cannot be read.
    """
    slope, intercept = header.rescale_slope, header.rescale_intercept
    if slope is None and intercept is None:
        if header.modality_lut is not None and not header.modality_lut.entries:
            raise FileFaultError(Code.D_BAD_RESCALE, "Modality LUT")
        return header.modality_lut
    if slope is None or intercept is None or not (_finite(slope, 1) and _finite(intercept, 1)):
        raise FileFaultError(Code.D_BAD_RESCALE)
    if not 0 < slope[0] <= LIMITS.slope or abs(intercept[0]) > LIMITS.intercept_hu:
        raise FileFaultError(Code.D_BAD_RESCALE, "out of range")
    return Rescale(slope[0], intercept[0])


def _check_bits(header: SliceHeader) -> None:
    layout = header.pixels
    allocated, stored = layout.bits_allocated, layout.bits_stored
    if layout.pixel_representation == -1:
        raise FileFaultError(Code.D_BITS, "PixelRepresentation is absent, so the sign is unknown")
    sound = allocated in (8, 16) and 1 < stored <= allocated and layout.pixel_representation in (0, 1)
    syntax = TRANSFER_SYNTAXES.get(layout.transfer_syntax_uid)
    shifted = layout.shift > 0 and layout.high_bit < allocated and syntax is not None and syntax.native
    if not sound or not (layout.shift == 0 or shifted):
        raise FileFaultError(Code.D_BITS, f"{stored} of {allocated} bits, high bit {layout.high_bit}")
    if layout.rows * layout.columns * (allocated // 8) > LIMITS.slice_bytes:
        raise FileFaultError(Code.D_DIMENSION_LIMIT, f"{layout.rows} x {layout.columns}")


def _check_length(header: SliceHeader, native: bool) -> None:
    """Native pixel data are as long as the matrix says (1 kB of padding at most); encapsulated ones say that they are."""
    layout = header.pixels
    present = layout.end - layout.offset
    if not native:
        if layout.length != UNDEFINED_LENGTH and not layout.mislabelled:
            raise FileFaultError(Code.D_PIXEL_LENGTH, "compressed by its transfer syntax, but not encapsulated")
        if layout.length != UNDEFINED_LENGTH and present < layout.length:
            raise FileFaultError(Code.D_TRUNCATED, f"{present} of {layout.length} bytes")
        if present > LIMITS.encapsulated_bytes:
            raise FileFaultError(Code.D_DIMENSION_LIMIT, f"{present} bytes of compressed pixels")
        return
    if layout.length == UNDEFINED_LENGTH:
        raise FileFaultError(Code.D_PIXEL_LENGTH, "encapsulated, but native by its transfer syntax")
    needed = layout.frame_bytes * layout.number_of_frames
    if min(present, layout.length) < needed:
        raise FileFaultError(Code.D_TRUNCATED, f"{min(present, layout.length)} of {needed} bytes")
    if layout.length > needed + LIMITS.trailing_pixel_bytes:
        raise FileFaultError(Code.D_PIXEL_LENGTH, f"{layout.length} instead of {needed} bytes")


def _finite(numbers: tuple[float, ...], count: int) -> bool:
    return len(numbers) == count and all(math.isfinite(number) for number in numbers)


def _orthonormal(orientation: tuple[float, ...]) -> bool:
    """Unit length and right angle to 1e-3. Source: DICOM PS3.3 C.7.6.2.1.1."""
    row, column = orientation[:3], orientation[3:]
    lengths = (math.hypot(*row), math.hypot(*column))
    dot = sum(a * b for a, b in zip(row, column, strict=True))
    return all(abs(length - 1) <= LIMITS.orthonormal for length in lengths) and abs(dot) <= LIMITS.orthonormal


def _known_uid(uid: str) -> str:
    """The transfer syntax as digits and dots only, whatever stood in the file."""
    return "".join(c for c in uid if c.isdigit() or c == ".")[:64]
