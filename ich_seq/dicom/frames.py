"""Enhanced multi-frame CT as the single slices that it holds.

Source: DICOM PS3.3 C.7.6.16 (multi-frame functional groups), A.38.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from ich_seq.dicom.codes import Code
from ich_seq.dicom.elements import FileFaultError, file_boundary, number_of, open_body
from ich_seq.dicom.header import SliceHeader
from ich_seq.dicom.hints import positive_mm
from ich_seq.dicom.walk import Values, Walk, Wanted

_Numbers = tuple[float, ...] | None
_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_POSITION, _IMAGE_POSITION = 0x00209113, 0x00200032
_ORIENTATION, _IMAGE_ORIENTATION = 0x00209116, 0x00200037
_MEASURES, _PIXEL_SPACING, _THICKNESS = 0x00289110, 0x00280030, 0x00180050
_TRANSFORMATION, _INTERCEPT, _SLOPE, _RESCALE_TYPE = 0x00289145, 0x00281052, 0x00281053, 0x00281054
_CONTENT, _STACK, _TIME, _ACQUISITION, _BEGAN = 0x00209111, 0x00209056, 0x00209128, 0x00209156, 0x00189074
_KIND, _FRAME_TYPE = 0x00189329, 0x00089007
_RECONSTRUCTION, _KERNEL = 0x00189314, 0x00181210
_CONTRAST, _ADMINISTERED = 0x00189341, 0x00189342
_GROUPS: Wanted = {
    _POSITION: {_IMAGE_POSITION: None},
    _ORIENTATION: {_IMAGE_ORIENTATION: None},
    _MEASURES: {_PIXEL_SPACING: None, _THICKNESS: None},
    _TRANSFORMATION: {_INTERCEPT: None, _SLOPE: None, _RESCALE_TYPE: None},
    _CONTENT: {_STACK: None, _TIME: None, _ACQUISITION: None, _BEGAN: None},
    _KIND: {_FRAME_TYPE: None},
    _RECONSTRUCTION: {_KERNEL: None},
    _CONTRAST: {_ADMINISTERED: None},
}
_SEQUENCES: Wanted = {_SHARED: _GROUPS, _PER_FRAME: _GROUPS}


def expand_frames(header: SliceHeader) -> Iterator[SliceHeader]:
    """The slices of one file: itself, or one for each frame of an enhanced CT, with its own geometry and rescale.

    Raises:
        FileFaultError: several frames without functional groups, or groups that cannot be read.
    """
    if header.pixels.number_of_frames == 1 and header.image_position_patient is not None:
        yield header
        return
    groups = _functional_groups(header)
    if groups is None:
        if header.pixels.number_of_frames == 1:
            yield header
            return
        raise FileFaultError(Code.D_MULTIFRAME, f"{header.pixels.number_of_frames} frames")
    shared, per_frame = groups
    if len(per_frame) != header.pixels.number_of_frames:
        raise FileFaultError(Code.D_MULTIFRAME, f"{len(per_frame)} groups, {header.pixels.number_of_frames} frames")
    frames = [_Groups(own, shared, header.pixels.little_endian) for own in per_frame]
    acquisitions = _acquisition_numbers(header, frames)
    for index, (groups_of_frame, acquisition) in enumerate(zip(frames, acquisitions, strict=True)):
        yield replace(_frame_header(header, index, groups_of_frame), acquisition_number=acquisition)


def _functional_groups(header: SliceHeader) -> tuple[Values, list[Values]] | None:
    """The shared functional groups (empty: none) and those of each frame; None where the file has none."""
    with file_boundary():
        body = open_body(header.source)
        with body.stream:
            found = Walk(body.stream, body.little_endian).dataset(_SEQUENCES, body.implicit)
    shared, per_frame = found.get(_SHARED), found.get(_PER_FRAME)
    if not isinstance(per_frame, list):
        return None
    return (shared[0] if isinstance(shared, list) and shared else {}), per_frame


class _Groups:
    """The functional groups of one frame: its own come before the shared ones. Values are bytes, as they lie in the file."""

    def __init__(self, own: Values, shared: Values, little_endian: bool) -> None:
        self._holders = (own, shared)
        self._order: Literal["little", "big"] = "little" if little_endian else "big"

    def raw(self, group: int, tag: int) -> bytes | None:
        """An element of a group's first item; None where it is absent or empty."""
        for holder in self._holders:
            items = holder.get(group)
            if isinstance(items, list) and items and isinstance(found := items[0].get(tag), bytes) and found:
                return found
        return None

    def texts(self, group: int, tag: int) -> tuple[str, ...]:
        """All values of a text element, stripped; zero bytes are padding at the very end only, as in `Elements.text`."""
        found = self.raw(group, tag)
        if found is None:
            return ()
        return tuple(part.strip(" ") for part in found.decode("latin-1").rstrip("\0").split("\\"))

    def text(self, group: int, tag: int, top: str) -> str:
        """The first of an element's values; what stands at the top level where the groups do not have it."""
        found = self.texts(group, tag)
        return found[0] if found else top

    def numbers(self, group: int, tag: int, top: _Numbers) -> _Numbers:
        """An element as numbers, nan for what is none; what stands at the top level where the groups do not have it."""
        found = self.texts(group, tag)
        return tuple(number_of(part) for part in found) if found else top

    def integer(self, group: int, tag: int) -> int | None:
        """A binary unsigned number of two or four bytes; None where it is absent or of another length."""
        found = self.raw(group, tag)
        return int.from_bytes(found, self._order) if found is not None and len(found) in (2, 4) else None


def _acquisition_numbers(header: SliceHeader, frames: list[_Groups]) -> list[int | None]:
    """A number for each frame that tells apart what must not be mixed at one position: acquisitions, stacks, time points.

    FrameAcquisitionNumber (else AcquisitionNumber) where all frames are of one stack and one time point; else the rank of it with
    StackID and TemporalPositionIndex, from 1. Source: DICOM PS3.3 C.7.6.16.2.2.
    """

    def stated(groups: _Groups) -> int | None:
        number = groups.integer(_CONTENT, _ACQUISITION)
        return header.acquisition_number if number is None else number

    numbers = [stated(groups) for groups in frames]
    stacks = [(groups.text(_CONTENT, _STACK, ""), groups.integer(_CONTENT, _TIME) or 0) for groups in frames]
    if len(set(stacks)) == 1:
        return list(numbers)
    keys = [(number or 0, *stack) for number, stack in zip(numbers, stacks, strict=True)]
    rank = {key: place for place, key in enumerate(sorted(set(keys)), start=1)}
    return [rank[key] for key in keys]


def _frame_header(header: SliceHeader, index: int, groups: _Groups) -> SliceHeader:
    """The header of one frame: its functional groups come before the top level."""
    frame_type = groups.texts(_KIND, _FRAME_TYPE)
    began = groups.text(_CONTENT, _BEGAN, "")
    position, orientation = header.image_position_patient, header.image_orientation_patient
    return replace(
        header,
        pixels=replace(header.pixels, frame=index),
        image_type=tuple(part.upper() for part in frame_type) or header.image_type,
        convolution_kernel=groups.text(_RECONSTRUCTION, _KERNEL, header.convolution_kernel),
        contrast_bolus_agent=header.contrast_bolus_agent or groups.text(_CONTRAST, _ADMINISTERED, "") == "YES",
        acquisition_time=began[8:].partition("+")[0].partition("-")[0] or header.acquisition_time,
        image_position_patient=groups.numbers(_POSITION, _IMAGE_POSITION, position),
        image_orientation_patient=groups.numbers(_ORIENTATION, _IMAGE_ORIENTATION, orientation),
        pixel_spacing_mm=groups.numbers(_MEASURES, _PIXEL_SPACING, header.pixel_spacing_mm),
        slice_thickness_mm=positive_mm(groups.numbers(_MEASURES, _THICKNESS, None)),
        rescale_slope=groups.numbers(_TRANSFORMATION, _SLOPE, header.rescale_slope),
        rescale_intercept=groups.numbers(_TRANSFORMATION, _INTERCEPT, header.rescale_intercept),
        rescale_type=groups.text(_TRANSFORMATION, _RESCALE_TYPE, header.rescale_type).upper(),
        instance_number=None,
    )
