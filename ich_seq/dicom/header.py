"""One CT slice as its header describes it, read without its pixels."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from ich_seq.dicom.codes import Code
from ich_seq.dicom.elements import Body, Elements, FileFaultError, open_body, read_elements
from ich_seq.dicom.hints import HINT_TAGS, NO_HINTS, Hints, hints_of, positive_mm
from ich_seq.dicom.layout import PixelLayout
from ich_seq.dicom.mislabelled import as_found
from ich_seq.dicom.modality_lut import MODALITY_LUT, ModalityLut, read_modality_lut
from ich_seq.dicom.patient import PATIENT_TAGS, age_years, patient_digests
from ich_seq.dicom.sources import FileSource, Source
from ich_seq.errors import PixelsUnreadableError

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURES = tuple("1.2.840.10008.5.1.4.1.1.7" + end for end in ("", ".2", ".3"))
ENHANCED_CT_IMAGES = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"

_NO_AGENT = ("", "0", "NO", "NONE", "NIL", "N", "N/A", "NO CONTRAST")
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_TAGS = {
    "image_type": 0x00080008,
    "sop_class_uid": 0x00080016,
    "sop_instance_uid": 0x00080018,
    "acquisition_time": 0x00080032,
    "content_time": 0x00080033,
    "modality": 0x00080060,
    "manufacturer": 0x00080070,
    "series_description": 0x0008103E,
    "patient_id": 0x00100020,
    "patient_sex": 0x00100040,
    "patient_age": 0x00101010,
    "contrast_bolus_agent": 0x00180010,
    "body_part_examined": 0x00180015,
    "slice_thickness": 0x00180050,
    "convolution_kernel": 0x00181210,
    "study_instance_uid": 0x0020000D,
    "series_instance_uid": 0x0020000E,
    "acquisition_number": 0x00200012,
    "instance_number": 0x00200013,
    "image_position_patient": 0x00200032,
    "image_orientation_patient": 0x00200037,
    "frame_of_reference_uid": 0x00200052,
    "samples_per_pixel": 0x00280002,
    "photometric_interpretation": 0x00280004,
    "number_of_frames": 0x00280008,
    "rows": 0x00280010,
    "columns": 0x00280011,
    "pixel_spacing": 0x00280030,
    "bits_allocated": 0x00280100,
    "bits_stored": 0x00280101,
    "high_bit": 0x00280102,
    "pixel_representation": 0x00280103,
    "pixel_padding_value": 0x00280120,
    "pixel_padding_range_limit": 0x00280121,
    "rescale_intercept": 0x00281052,
    "rescale_slope": 0x00281053,
    "rescale_type": 0x00281054,
    "modality_lut": MODALITY_LUT,
}
_WANTED = sorted({*_TAGS.values(), *HINT_TAGS, *PATIENT_TAGS})


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """What the header of one slice says; keywords as in DICOM, lengths in mm, absent values None or empty.

    Numbers are as written: `check_slice` refuses what is not finite. `patient_id` is protected health information:
    never write it where the user did not ask for it; `patient_digests` (SHA-256 of ID, name and birth date, each empty
    where absent) tell patients apart without it.
    """

    source: Source = field(repr=False, compare=False)
    pixels: PixelLayout
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str
    modality: str
    image_type: tuple[str, ...]
    patient_id: str = field(repr=False)
    patient_digests: tuple[str, ...]
    patient_age_years: float | None
    series_description: str = field(repr=False)
    body_part_examined: str
    convolution_kernel: str
    contrast_bolus_agent: bool
    acquisition_number: int | None
    acquisition_time: str
    content_time: str
    instance_number: int | None
    image_position_patient: tuple[float, ...] | None
    image_orientation_patient: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, ...] | None
    slice_thickness_mm: float | None
    rescale_slope: tuple[float, ...] | None
    rescale_intercept: tuple[float, ...] | None
    rescale_type: str
    notes: tuple[Code, ...]
    patient_sex: str = ""
    manufacturer: str = field(default="", repr=False)
    modality_lut: ModalityLut | None = None
    hints: Hints = NO_HINTS

    @property
    def rows(self) -> int:
        """Rows of the stored image."""
        return self.pixels.rows

    @property
    def columns(self) -> int:
        """Columns of the stored image."""
        return self.pixels.columns

    @property
    def name(self) -> str:
        """The file's name relative to what the user typed: for messages only."""
        return self.source.name


def read_header(path: Path) -> SliceHeader:
    """The header of one single-frame CT file, without its pixels and without judging it.

    Raises:
        PixelsUnreadableError: not DICOM, or a header that cannot be parsed; `code` says which.
    """
    try:
        return parse_header(FileSource(path, path.name, follow=True))
    except FileFaultError as fault:
        raise file_error(path.name, fault) from fault


def file_error(name: str, fault: FileFaultError) -> PixelsUnreadableError:
    """The error that names the file, the rule that it broke and the way out."""
    detail = f" ({fault.detail})" if fault.detail else ""
    text = fault.code.text.rstrip(".")
    return PixelsUnreadableError(
        f"{name}: {fault.code.value}: {text}{detail}. {fault.code.remedy}", code=fault.code.value
    )


def parse_header(source: Source) -> SliceHeader:
    """The header of one file.

    Raises:
        FileFaultError: not DICOM, a DICOMDIR, or anything that the parser cannot read.
        ArchiveError: the zip around it is damaged.
    """
    body, elements = open_elements(source)
    try:
        return _slice_header(source, body, elements)
    finally:
        body.stream.close()


def open_elements(source: Source) -> tuple[Body, Elements]:
    """The body and elements of one file; the stream is left open. Raises as `parse_header`."""
    try:
        body = open_body(source)
    except OSError as error:
        raise FileFaultError(Code.D_UNREADABLE, f"cannot be opened: {error.strerror or 'input error'}") from error
    if body.media_sop_class_uid == MEDIA_DIRECTORY:
        body.stream.close()
        raise FileFaultError(Code.D_DICOMDIR)
    try:
        return body, read_elements(body, _WANTED)
    except FileFaultError:
        body.stream.close()
        raise


def _slice_header(source: Source, body: Body, elements: Elements) -> SliceHeader:
    """The elements as a value."""
    text, texts, numbers = elements.text, elements.texts, elements.numbers
    kernel = texts(_TAGS["convolution_kernel"])
    layout = as_found(_pixel_layout(elements), body.stream)
    rescale_type, lut = (text(_TAGS["rescale_type"]) or "").upper(), None
    if MODALITY_LUT in elements.values and numbers(_TAGS["rescale_slope"]) is None:
        lut = read_modality_lut(source)
        rescale_type = lut.type
    return SliceHeader(
        source=source,
        pixels=layout,
        sop_class_uid=text(_TAGS["sop_class_uid"]) or body.media_sop_class_uid,
        sop_instance_uid=text(_TAGS["sop_instance_uid"]) or "",
        study_instance_uid=text(_TAGS["study_instance_uid"]) or "",
        series_instance_uid=text(_TAGS["series_instance_uid"]) or "",
        frame_of_reference_uid=text(_TAGS["frame_of_reference_uid"]) or "",
        modality=text(_TAGS["modality"]) or "",
        image_type=tuple(part.upper() for part in texts(_TAGS["image_type"])),
        patient_id=text(_TAGS["patient_id"]) or "",
        patient_digests=patient_digests(elements),
        patient_age_years=age_years(text(_TAGS["patient_age"])),
        series_description=text(_TAGS["series_description"]) or "",
        body_part_examined=(text(_TAGS["body_part_examined"]) or "").upper(),
        convolution_kernel=kernel[0] if kernel else "",
        contrast_bolus_agent=(text(_TAGS["contrast_bolus_agent"]) or "").upper() not in _NO_AGENT,
        acquisition_number=elements.integer(_TAGS["acquisition_number"]),
        acquisition_time=text(_TAGS["acquisition_time"]) or "",
        content_time=text(_TAGS["content_time"]) or "",
        instance_number=elements.integer(_TAGS["instance_number"]),
        image_position_patient=numbers(_TAGS["image_position_patient"]),
        image_orientation_patient=numbers(_TAGS["image_orientation_patient"]),
        pixel_spacing_mm=numbers(_TAGS["pixel_spacing"]),
        slice_thickness_mm=positive_mm(numbers(_TAGS["slice_thickness"])),
        rescale_slope=numbers(_TAGS["rescale_slope"]),
        rescale_intercept=numbers(_TAGS["rescale_intercept"]),
        rescale_type=rescale_type,
        notes=(*body.notes, Code.W_TS_MISLABELLED) if layout.mislabelled else body.notes,
        patient_sex=(text(_TAGS["patient_sex"]) or "").upper(),
        manufacturer=text(_TAGS["manufacturer"]) or "",
        modality_lut=lut,
        hints=hints_of(elements),
    )


def _pixel_layout(elements: Elements) -> PixelLayout:
    bits_stored = elements.uint16(_TAGS["bits_stored"]) or 0
    high_bit = elements.uint16(_TAGS["high_bit"])
    representation = elements.uint16(_TAGS["pixel_representation"])
    signed = representation == 1
    frames = elements.integer(_TAGS["number_of_frames"])
    samples = elements.uint16(_TAGS["samples_per_pixel"])
    return PixelLayout(
        transfer_syntax_uid=elements.body.transfer_syntax_uid,
        rows=elements.uint16(_TAGS["rows"]) or 0,
        columns=elements.uint16(_TAGS["columns"]) or 0,
        bits_allocated=elements.uint16(_TAGS["bits_allocated"]) or 0,
        bits_stored=bits_stored,
        high_bit=bits_stored - 1 if high_bit is None else high_bit,
        pixel_representation=-1 if representation is None else representation,
        samples_per_pixel=1 if samples is None else samples,
        photometric_interpretation=elements.text(_TAGS["photometric_interpretation"]) or "",
        number_of_frames=1 if frames is None else frames,
        frame=0,
        offset=elements.pixel_offset,
        length=elements.pixel_length,
        end=elements.end,
        little_endian=elements.body.little_endian,
        pixel_padding_value=elements.word16(_TAGS["pixel_padding_value"], signed),
        pixel_padding_range_limit=elements.word16(_TAGS["pixel_padding_range_limit"], signed),
    )


def is_valid_uid(uid: str) -> bool:
    """Whether this is a UID by DICOM PS3.5 section 9.1 (leading zeros are let pass)."""
    return len(uid) <= 64 and _UID.fullmatch(uid) is not None
