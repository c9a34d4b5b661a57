"""BHSD: NIfTI volumes cut from RSNA's training series, each with a mask of the five subtypes, from which labels by slice follow."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from ich_seq.errors import DatasetError, PixelsUnreadableError
from ich_seq.labels import ANY_INDEX, LABEL_NAMES, SUBTYPE_NAMES
from ich_seq.manifest.description import DatasetDescription, find_images
from ich_seq.manifest.headers import Progress
from ich_seq.manifest.table import PER_SLICE
from ich_seq.manifest.volumes import stem_of, volume_rows
from ich_seq.nifti import NiftiScan

_RSNA_NAME = re.compile(r"(ID_[0-9a-f]+)_(ID_[0-9a-f]+)")


def index_bhsd(
    description: DatasetDescription, root: Path, jobs: int, progress: Progress | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Every slice of every volume, its labels from its mask: present where at least one voxel has the subtype's value.

    Volumes are named after RSNA's patient and study, which are kept, so that `--exclude` can keep them out of training.

    Raises:
        DatasetError: no volume; a volume without mask, or with one of another shape or of unknown values.
    """
    del jobs
    files = find_images(description, root)
    parts, unnamed = [], []
    for done, file in enumerate(files, start=1):
        named = _RSNA_NAME.fullmatch(stem_of(file))
        patient, study = named.groups() if named else (stem_of(file), stem_of(file))
        if not named:
            unnamed.append(file.name)
        parts.append(_volume(root, file, root / description.layout.labels / file.name, patient, study))
        if progress is not None:
            progress(done, len(files))
    notes = []
    if unnamed:
        notes.append(
            f"{len(unnamed)} volumes are not named after RSNA's patient and study, so their overlap with RSNA is unknown: "
            f"{', '.join(unnamed[:10])}"
        )
    return pd.concat(parts, ignore_index=True).assign(labelled=PER_SLICE), notes


def _volume(root: Path, file: Path, mask_file: Path, patient: str, study: str) -> pd.DataFrame:
    if not mask_file.is_file():
        raise DatasetError(f"{file}: has no mask {mask_file}", path=file)
    try:
        scan, mask = NiftiScan(file), NiftiScan(mask_file)
        rows = volume_rows(scan, file.relative_to(root).as_posix(), patient, study)
        if len(mask) != len(scan) or mask.shape != scan.shape:
            raise DatasetError(f"{mask_file}: its shape is not that of {file.name}", path=mask_file)
        truth = np.stack([_labels(mask_file, mask[index]) for index in range(len(mask))])
    except PixelsUnreadableError as error:
        raise DatasetError(f"{root}: {error.message}; download it again", root=root) from error
    return rows.join(pd.DataFrame(truth, columns=list(LABEL_NAMES)))


def _labels(path: Path, mask: np.ndarray) -> UInt8[np.ndarray, " l"]:
    values = np.unique(mask)
    if not np.isin(values, np.arange(len(SUBTYPE_NAMES) + 1)).all():
        raise DatasetError(f"{path}: values other than 0 to {len(SUBTYPE_NAMES)}: {values[:8].tolist()}", path=path)
    truth = np.zeros(len(LABEL_NAMES), np.uint8)
    truth[values[values > 0].astype(int) - 1] = 1  # 1 to 5 are the subtypes in the order of LABEL_NAMES
    truth[ANY_INDEX] = truth[: len(SUBTYPE_NAMES)].max()
    return truth
