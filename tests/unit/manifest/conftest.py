"""Small faithful copies of RSNA's layout: its identifiers, its random file names, no InstanceNumber."""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import FileMetaDataset, config
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from ich_seq.labels import LABEL_NAMES


def rsna_id(*parts: object) -> str:
    """`ID_` and nine hexadecimal digits that follow from the parts."""
    return "ID_" + hashlib.sha256(repr(parts).encode()).hexdigest()[:9]


@dataclass
class RsnaCopy:
    """A dataset on disk, with what was written: for each image its header's facts and its labels."""

    root: Path
    images: dict[str, dict]

    def path(self, image: str) -> Path:
        return self.root / "stage_2_train" / f"{image}.dcm"

    @property
    def csv(self) -> Path:
        return self.root / "stage_2_train.csv"

    def rows(self) -> list[str]:
        return [f"{image}_{name},{facts[name]}" for image, facts in self.images.items() for name in LABEL_NAMES]

    def write_labels(self, rows: list[str]) -> None:
        self.csv.write_text("\n".join(["ID,Label", *rows]) + "\n")


@contextlib.contextmanager
def _unchecked_uids() -> Iterator[None]:
    """RSNA's identifiers are no valid UIDs; pydicom is told to write them all the same."""
    settings = config.settings
    modes = settings.reading_validation_mode, settings.writing_validation_mode
    settings.reading_validation_mode = settings.writing_validation_mode = config.IGNORE
    yield
    settings.reading_validation_mode, settings.writing_validation_mode = modes


def write_slice(path: Path, facts: dict, tilt_deg: float = 12.0) -> None:
    """A 64 x 64 CT image with RSNA's attributes; the slice plane is tilted."""
    with _unchecked_uids():
        _rsna_slice(path.stem, facts, np.deg2rad(tilt_deg)).save_as(path, enforce_file_format=True)


def _rsna_slice(image: str, facts: dict, tilt: float) -> Dataset:
    sine, cosine = (float(np.round(ratio, 6)) for ratio in (np.sin(tilt), np.cos(tilt)))
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, image
    data.StudyInstanceUID, data.SeriesInstanceUID = facts["study"], facts["series"]
    data.PatientID, data.Modality = facts["patient"], "CT"
    data.ImagePositionPatient = [-100, -100 - facts["z"] * sine, facts["z"]]
    data.ImageOrientationPatient = [1, 0, 0, 0, cosine, sine]
    data.PixelSpacing = [0.5, 0.5]
    data.Rows = data.Columns = 64
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = bytes(2 * 64 * 64)
    return data


@pytest.fixture
def rsna(tmp_path: Path) -> RsnaCopy:
    """12 patients (two with two series) of 6 slices each; patients 0 to 3 bleed, in different places."""
    (tmp_path / "stage_2_train").mkdir()
    copy = RsnaCopy(tmp_path, {})
    for series in range(14):
        patient = min(series, 13 - series) if series > 11 else series
        for number in range(6):
            facts: dict = {"patient": rsna_id("p", patient), "study": rsna_id("st", series)}
            facts |= {"series": rsna_id("se", series), "z": 100.0 + 5 * number}
            truth = dict.fromkeys(LABEL_NAMES, 0)
            if patient < 4 and number in (2, 3):
                truth |= {LABEL_NAMES[patient]: 1, "any": 1}
            image = rsna_id("im", series, number)
            copy.images[image] = facts | truth
            write_slice(copy.path(image), facts)
    copy.write_labels(copy.rows())
    return copy
