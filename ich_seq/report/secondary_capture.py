"""Sheets as DICOM secondary captures in the study that they explain, the research notice burned in; highdicom writes the objects.

The patient's name, ID and dates are left empty, as nothing that ichseq writes names anybody: a PACS fills them in from the study,
whose UID they have, or asks. UIDs follow from the pixels and from what was explained, so the same sheet has the same name again.
"""

import hashlib
import uuid
from typing import Any

import numpy as np
from PIL import Image

from ich_seq import __version__
from ich_seq.errors import InputRefusedError, UsageError
from ich_seq.labels import RESEARCH_NOTICE
from ich_seq.study.explain import Explanation, Heat

SERIES_NUMBER = 9700
SERIES_DESCRIPTION = "ichseq heat maps, RESEARCH ONLY"
_LONGEST_UID = 64
_CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"


def refuse_without_uids(explanation: Explanation) -> None:
    """Nothing where the study has UIDs that a secondary capture may carry and the library is there.

    Raises:
        InputRefusedError: it was NIfTI, or its UIDs are none (RSNA's `ID_...`).
        UsageError: the extra `dicom` is not installed.
    """
    result = explanation.result
    names = [result.study_instance_uid, *(result.slices[place].sop_instance_uid for place in explanation.places)]
    if result.source_format != "dicom" or not all(is_uid(name) for name in names):
        raise InputRefusedError(
            "the study has no valid UIDs, so no secondary capture can be filed with it; leave --dicom out (PNG and HTML need none)"
        )
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise UsageError("--dicom needs highdicom; install it with: pip install 'ichseq[dicom]'") from error


def is_uid(text: str) -> bool:
    """Whether a text is a UID: components of digits without leading zeros, at most 64 characters. Source: DICOM PS3.5 9.1."""
    parts = text.split(".")
    return len(text) <= _LONGEST_UID and all(
        part.isascii() and part.isdecimal() and (part == "0" or part[0] != "0") for part in parts
    )


def secondary_capture(explanation: Explanation, heat: Heat, sheet: Image.Image, number: int) -> Any:
    """One sheet as a pydicom dataset: an RGB secondary capture that names the CT image it was drawn from."""
    from highdicom.sc import SCImage
    from pydicom.dataset import Dataset

    result, pixels = explanation.result, np.asarray(sheet.convert("RGB"))
    series = f"{result.input_sha256} {result.model.digest} {explanation.stage}"
    capture = SCImage(
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=result.study_instance_uid,
        series_instance_uid=_uid(series),
        series_number=SERIES_NUMBER,
        sop_instance_uid=_uid(series, heat.label, heat.index, hashlib.sha256(pixels.tobytes()).hexdigest()),
        instance_number=number,
        manufacturer="ichseq",
        patient_orientation=("L", "P"),
    )
    capture.SeriesDescription = SERIES_DESCRIPTION
    capture.BodyPartExamined, capture.Modality = "HEAD", "OT"
    capture.ConversionType = "WSD"
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.BurnedInAnnotation = "NO"  # it says whether a patient can be identified by it
    capture.DerivationDescription = f"Grad-CAM of {heat.label}, slice {heat.index + 1}, ichseq {__version__}"
    capture.ImageComments = RESEARCH_NOTICE
    source = Dataset()
    source.ReferencedSOPClassUID = _CT_IMAGE_STORAGE
    source.ReferencedSOPInstanceUID = result.slices[heat.index].sop_instance_uid
    capture.SourceImageSequence = [source]
    return capture


def _uid(*what: object) -> str:
    """A UID that follows from what it names. Source: DICOM PS3.5 B.2."""
    digest = hashlib.sha256(repr(what).encode()).digest()[:16]
    return f"2.25.{uuid.UUID(bytes=digest, version=5).int}"
