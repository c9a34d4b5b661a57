"""A study as files: one DICOM CT image per slice, the mask as NIfTI; same values in, same bytes out.

Headers follow DICOM PS3.3 A.3 (CT Image IOD); RSNA-like ones hold RSNA 2019's attributes and nothing else, with `ID_` identifiers
where UIDs belong. UIDs have the prefix 2.25 (PS3.5 B.2) and follow from the cohort's values.
"""

import gzip
import hashlib
import uuid
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel.nifti1
import numpy as np
import pydicom
from jaxtyping import UInt16
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from ich_seq.phantom.render import PhantomStudy, circle
from ich_seq.phantom.spec import CohortSpec

PADDING = -2000
_IMPLEMENTATION = "2.25.262517893408717261389147240364018927741"


@dataclass(frozen=True)
class StudyNames:
    """A study's identifiers; `files` (stems) and `sop_uids` run from the feet to the head."""

    study_uid: str
    series_uid: str
    frame_uid: str
    patient_id: str
    files: tuple[str, ...]
    sop_uids: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """The identifiers for truth.json."""
        return {
            "study_instance_uid": self.study_uid,
            "series_instance_uid": self.series_uid,
            "patient_id": self.patient_id,
            "mask": f"masks/{self.study_uid}.nii.gz",
            "files": self.files,
            "sop_uids": self.sop_uids,
        }


def _scramble(counter: int, key: bytes, bits: int = 36) -> int:
    """A number of `bits` bits, another one for every counter: four rounds of a balanced Feistel network."""
    half = bits // 2
    left, right = counter >> half, counter & ((1 << half) - 1)
    for turn in range(4):
        mixed = hashlib.blake2b(right.to_bytes(4, "big") + bytes([turn]), key=key, digest_size=4).digest()
        left, right = right, left ^ (int.from_bytes(mixed, "big") & ((1 << half) - 1))
    return (left << half) | right


def name_study(spec: CohortSpec, study: PhantomStudy) -> StudyNames:
    """Identifiers that follow from the cohort's values; file stems `ID_<9 hex>` are unique in the cohort and in random order."""
    key = bytes.fromhex(spec.digest())

    def uid(*what: object) -> str:
        digest = hashlib.blake2b(repr(what).encode(), key=key, digest_size=16).digest()
        return f"2.25.{uuid.UUID(bytes=digest, version=5).int}"

    def short(length: int, *what: object) -> str:
        return "ID_" + hashlib.blake2b(repr(what).encode(), key=key, digest_size=16).hexdigest()[:length]

    index, count = study.plan.index, study.geometry.slices
    files = tuple(f"ID_{_scramble(index * 1024 + k, key):09x}" for k in range(count))
    patient = short(8, "patient", study.plan.patient)
    if spec.rsna_like:
        return StudyNames(short(10, "study", index), short(10, "series", index), "", patient, files, files)
    sop = tuple(uid("instance", index, k) for k in range(count))
    return StudyNames(uid("study", index), uid("series", index), uid("frame", index), patient, files, sop)


def stored_pixels(study: PhantomStudy, index: int) -> tuple[UInt16[np.ndarray, "y x"], int]:
    """Stored values of one slice (signed ones as their two's complement) and the rescale intercept in HU."""
    intercept = -1024
    stored = study.hu[index].astype(np.int32) - intercept
    if study.padded:
        stored[~circle(study.geometry.matrix)] = PADDING
    return stored.astype(np.int16).view(np.uint16), intercept


def _decimal(values: Any) -> list[str]:
    """Numbers as DICOM decimal strings of at most 16 characters."""
    return [f"{float(v) + 0.0:.6f}" for v in values]


def _image(study: PhantomStudy, names: StudyNames, index: int) -> Dataset:
    """The attributes that RSNA's files have too: identifiers, plane, pixels."""
    g = study.geometry
    ds = Dataset()
    ds.SOPInstanceUID = names.sop_uids[index]
    ds.Modality = "CT"
    ds.PatientID = names.patient_id
    ds.StudyInstanceUID, ds.SeriesInstanceUID = names.study_uid, names.series_uid
    ds.StudyID = ""
    ds.ImagePositionPatient = _decimal(g.position_mm(index))
    ds.ImageOrientationPatient = _decimal([*g.row_direction, *g.column_direction])
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows = ds.Columns = g.matrix
    ds.PixelSpacing = _decimal([g.pixel_mm, g.pixel_mm])
    ds.BitsAllocated = 16
    ds.BitsStored, ds.HighBit = (16, 15) if study.signed else (12, 11)
    ds.PixelRepresentation = int(study.signed)
    pixels, intercept = stored_pixels(study, index)
    ds.WindowCenter, ds.WindowWidth = "40", "80"
    ds.RescaleIntercept, ds.RescaleSlope = str(intercept), "1"
    ds.PixelData = pixels.astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def _complete(ds: Dataset, study: PhantomStudy, names: StudyNames) -> None:
    """The rest of what the CT Image IOD wants; InstanceNumber is present and empty."""
    g = study.geometry
    ds.SOPClassUID = CTImageStorage
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.StudyDate, ds.StudyTime = f"2020{1 + study.plan.visit % 12:02d}01", "120000"
    ds.AccessionNumber = ds.ReferringPhysicianName = ds.PatientName = ds.PatientBirthDate = ds.PatientSex = ""
    ds.Manufacturer, ds.ManufacturerModelName = "ichseq", "phantom"
    ds.StudyDescription, ds.SeriesDescription = "Synthetic head CT", "Head without contrast, synthetic"
    ds.BodyPartExamined, ds.PatientPosition = "HEAD", "HFS"
    ds.KVP, ds.AcquisitionNumber, ds.SeriesNumber = "120", "", "1"
    ds.InstanceNumber = None
    ds.SliceThickness = f"{g.spacing_mm:.3f}"
    ds.SpacingBetweenSlices = f"{g.spacing_mm:.3f}"
    ds.GantryDetectorTilt = f"{g.tilt_deg:.1f}"
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = names.frame_uid, ""
    ds.RescaleType = "HU"
    ds.BurnedInAnnotation = "NO"
    if study.padded:
        ds.add_new("PixelPaddingValue", "SS", PADDING)


def dicom_bytes(spec: CohortSpec, study: PhantomStudy, names: StudyNames, index: int) -> bytes:
    """One slice as a DICOM file, explicit VR little endian."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Invalid value for VR UI", UserWarning)
        ds = _image(study, names, index)
        if not spec.rsna_like:
            _complete(ds, study, names)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = UID(names.sop_uids[index])
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.ImplementationClassUID = UID(_IMPLEMENTATION)
        meta.ImplementationVersionName = "ICHSEQ_PHANTOM"
        out = BytesIO()
        file = FileDataset("", ds, file_meta=meta, preamble=b"\0" * 128)
        pydicom.dcmwrite(out, file, enforce_file_format=True)
    return out.getvalue()


def mask_bytes(study: PhantomStudy) -> bytes:
    """The mask as NIfTI-1, gzip, indexed column, row, slice; codes as in BHSD (EDH 1, IPH 2, IVH 3, SAH 4, SDH 5)."""
    image = nibabel.nifti1.Nifti1Image(np.ascontiguousarray(study.mask.transpose(2, 1, 0)), study.geometry.affine_ras())
    image.set_sform(study.geometry.affine_ras(), 1)
    image.set_qform(None, 0)
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), compresslevel=4, mtime=0)


def study_files(spec: CohortSpec, study: PhantomStudy, names: StudyNames) -> dict[Path, bytes]:
    """Every file of a study by its path below the cohort's folder."""
    files = {
        Path("stage_2_train") / f"{stem}.dcm": dicom_bytes(spec, study, names, k) for k, stem in enumerate(names.files)
    }
    files[Path("masks") / f"{names.study_uid}.nii.gz"] = mask_bytes(study)
    return files
