"""A cohort of any size without a single image: a table of slices, embeddings with a signal, and files that are all header."""

import csv
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from ich_seq.embeddings.part import SeriesFeatures, write_part
from ich_seq.labels import LABEL_NAMES, SUBTYPE_NAMES
from ich_seq.manifest.table import COLUMNS, PER_SLICE, sort_slices
from ich_seq.volume import WHOLE_FILE

WIDTH = 2048
PATIENT_PREVALENCE = {
    "epidural": 0.0164,
    "intraparenchymal": 0.2468,
    "intraventricular": 0.1744,
    "subarachnoid": 0.1822,
    "subdural": 0.1782,
}
SLICE_PREVALENCE = {
    "epidural": 0.0042,
    "intraparenchymal": 0.0480,
    "intraventricular": 0.0348,
    "subarachnoid": 0.0474,
    "subdural": 0.0627,
}
ANY_PATIENTS = 0.4041
"""RSNA 2019's shares of positive patients and slices, in its training part."""
_LATENT, _NOISE = 40, 0.5
_MATRIX = 64


@dataclass(frozen=True)
class Part:
    """So many slices in so many series of so many patients."""

    patients: int
    series: int
    slices: int


RSNA_TRAIN = Part(18_938, 21_744, 752_803)
RSNA_TEST = Part(3_073, 3_528, 121_232)
"""Patients of the challenge's test part were never counted in public: taken in the training part's proportion."""


def scaled(part: Part, share: float) -> Part:
    """The same part at a share of its size."""
    return Part(*(max(1, round(number * share)) for number in (part.patients, part.series, part.slices)))


def make_table(parts: tuple[Part, ...], seed: int = 0) -> pd.DataFrame:
    """A table of slices as `ichseq index` makes it, with `split` left empty; bleeding runs over neighbouring slices.

    A patient's labels hold for all scans of that patient; each is a run of slices about one place in the scan.
    """
    rng = np.random.default_rng(seed)
    patient = _patients(parts)
    length = np.concatenate([_lengths(part, rng) for part in parts])
    series = np.repeat(np.arange(len(length)), length)
    place = np.arange(len(series)) - np.repeat(np.cumsum(length) - length, length)
    labels = _labels(patient, length, series, place, rng)
    gap = rng.choice((2.5, 5.0), len(length), p=(0.1, 0.9))
    names = {
        "patient_id": (patient[series], 8),
        "study_instance_uid": (series, 10),
        "series_instance_uid": (series, 10),
    }
    table = pd.DataFrame({name: _named(*numbers) for name, numbers in names.items()})
    table["series_instance_uid"] = "ID_s" + table["series_instance_uid"].str.slice(4)
    table["sop_instance_uid"] = _named(np.arange(len(series)), 9)
    table["path"] = "stage_2_train/" + table["sop_instance_uid"] + ".dcm"
    table["position_mm"] = place * gap[series] - 50
    fixed = {
        "slice_index": WHOLE_FILE,
        "row_spacing_mm": 0.488281,
        "column_spacing_mm": 0.488281,
        "slice_thickness_mm": np.nan,
    }
    fixed |= {"rows": 512, "columns": 512, "bits_stored": 16, "pixel_representation": 1}
    fixed |= {"dataset": "rsna2019", "labelled": PER_SLICE, "split": ""}
    table = table.assign(**fixed, **dict(zip(LABEL_NAMES, labels.T, strict=True)))
    return sort_slices(table.reindex(columns=list(COLUMNS)).astype(COLUMNS))


def write_parts(folder: Path, table: pd.DataFrame, seed: int = 0) -> list[str]:
    """A part of 2,048 float16 for each series in `folder/parts`; returns their identities in the order of `extract`.

    An embedding is 40 directions, six of which carry a label each, and noise; stage one's logits see the label through noise.
    """
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    basis = np.random.default_rng(seed).standard_normal((_LATENT, WIDTH), np.float32)
    prior = np.log(np.maximum(table[list(LABEL_NAMES)].mean().to_numpy(np.float32), 1e-4))
    identities = []
    for number, (uid, rows) in enumerate(table.groupby("series_instance_uid", sort=True)):
        rng = np.random.default_rng((seed, number))
        truth, slices = rows[list(LABEL_NAMES)].to_numpy(np.float32), len(rows)
        latent = rng.standard_normal((slices, _LATENT), np.float32)
        latent[:, : len(LABEL_NAMES)] += 3 * truth
        embedding = latent @ basis / np.float32(_LATENT**0.5)
        embedding += _NOISE * rng.standard_normal((slices, WIDTH), np.float32)
        logits = prior + 3 * truth + 1.2 * rng.standard_normal((slices, len(LABEL_NAMES)), np.float32)
        identities.append(f"{number:064x}")
        features = SeriesFeatures(
            str(uid),
            tuple(rows["sop_instance_uid"]),
            rows["position_mm"].to_numpy(),
            embedding.astype(np.float16),
            logits,
        )
        write_part(folder / "parts", identities[-1], features)
    return identities


def write_images(root: Path, table: pd.DataFrame) -> None:
    """A DICOM file a row with RSNA's attributes and 64 x 64 pixels, the fewest that `index` takes, and RSNA's file of labels.

    A file without pixels, or with fewer than its header says, would be refused by `index`.
    """
    (root / "stage_2_train").mkdir(parents=True, exist_ok=True)
    template, noise = _template(), np.random.default_rng(0)
    columns = ["patient_id", "study_instance_uid", "series_instance_uid", "sop_instance_uid", "position_mm", "path"]
    for patient, study, series, sop, position, path in table[columns].itertuples(index=False):
        content = template
        filled = {"P" * 11: patient, "T" * 13: study, "E" * 13: series, "S" * 12: sop, "9" * 12: f"{position:012.6f}"}
        for blank, value in filled.items():
            content = content.replace(blank.encode(), value.encode())
        pixels = noise.integers(900, 1200, _MATRIX * _MATRIX, np.uint16).tobytes()
        (root / path).write_bytes(content[: -len(pixels)] + pixels)
    write_labels(root / "stage_2_train.csv", table)


def write_labels(path: Path, table: pd.DataFrame) -> None:
    """The labels as Kaggle's file lists them, six rows an image."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("ID", "Label"))
        names = ["sop_instance_uid", *LABEL_NAMES]
        for uid, *truth in table[names].itertuples(index=False):
            writer.writerows((f"{uid}_{name}", int(value)) for name, value in zip(LABEL_NAMES, truth, strict=True))


def _patients(parts: tuple[Part, ...]) -> np.ndarray:
    """Each series' patient: the first series of all, then the others in turn; no patient is in two parts."""
    first = np.cumsum([0, *(part.patients for part in parts)])
    return np.concatenate(
        [start + np.arange(part.series) % part.patients for start, part in zip(first, parts, strict=False)]
    )


def _lengths(part: Part, rng: np.random.Generator) -> np.ndarray:
    """20 to 60 slices a series, as many in all as the part has."""
    length = np.clip(np.round(rng.gamma(30, part.slices / part.series / 30, part.series)), 20, 60).astype(np.int64)
    while missing := part.slices - int(length.sum()):
        free = np.flatnonzero(length < 60 if missing > 0 else length > 20)
        length[rng.permutation(free)[: abs(missing)]] += np.sign(missing)
    return length


def _labels(
    patient: np.ndarray, length: np.ndarray, series: np.ndarray, place: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """uint8 [slices, 6]: who bleeds by patient, then a run of slices for each label of a scan, about the scan's own centre."""
    bleeds = rng.random(patient.max() + 1) < ANY_PATIENTS
    share = np.array([PATIENT_PREVALENCE[name] for name in SUBTYPE_NAMES]) / ANY_PATIENTS
    odds = share.copy()
    for _ in range(50):  # those who bleed have one kind at least, so each kind is drawn a little less often
        odds = share * (1 - np.prod(1 - odds))
    kinds = rng.random((len(bleeds), len(odds))) < odds
    while (none := bleeds & ~kinds.any(axis=1)).any():
        kinds[none] = rng.random((none.sum(), len(odds))) < odds
    kinds &= bleeds[:, None]
    run = np.array([SLICE_PREVALENCE[name] / PATIENT_PREVALENCE[name] for name in SUBTYPE_NAMES])
    count = np.maximum(1, np.round(length[:, None] * run * rng.uniform(0.5, 1.5, (len(length), len(run)))))
    centre = rng.uniform(0.35, 0.75, (len(length), 1)) + rng.normal(0, 0.06, (len(length), len(run)))
    start = np.clip(np.round(length[:, None] * centre - count / 2), 0, length[:, None] - count)
    inside = (place[:, None] >= start[series]) & (place[:, None] < (start + count)[series])
    subtypes = inside & kinds[patient[series]]
    return np.column_stack([subtypes, subtypes.any(axis=1)]).astype(np.uint8)


def _named(number: np.ndarray, digits: int) -> np.ndarray:
    """`ID_` and hexadecimal digits, another for each number, in no order."""
    scrambled = (number.astype(np.uint64) * np.uint64(0x9E3779B1)) % np.uint64(16**8)
    return np.array([f"ID_{value:0{digits}x}" for value in scrambled.tolist()], object)


def _template() -> bytes:
    """One file with blanks of fixed length for what differs; explicit VR little endian, pixels last."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of identifiers that are no UIDs, as RSNA's
        ds, meta = Dataset(), FileMetaDataset()
        ds.SOPInstanceUID, ds.Modality, ds.PatientID = "S" * 12, "CT", "P" * 11
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.StudyID = "T" * 13, "E" * 13, ""
        ds.ImagePositionPatient = ["-125", "-125", "9" * 12]
        ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", _MATRIX, _MATRIX
        ds.PixelSpacing = ["0.488281", "0.488281"]
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.WindowCenter, ds.WindowWidth, ds.RescaleIntercept, ds.RescaleSlope = "40", "80", "-1024", "1"
        ds.PixelData = bytes(2 * _MATRIX * _MATRIX)
        ds["PixelData"].VR = "OW"
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, UID("S" * 12)
        meta.TransferSyntaxUID, meta.ImplementationClassUID = ExplicitVRLittleEndian, UID("1.2.3")
        file = pydicom.FileDataset("", ds, file_meta=meta, preamble=b"\0" * 128)
        pydicom.dcmwrite(out, file, enforce_file_format=True)
    return out.getvalue()
