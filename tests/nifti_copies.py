"""NIfTI copies of a DICOM series, made with nibabel and pydicom alone, stored along any axes."""

from pathlib import Path

import nibabel
import numpy as np
import pydicom
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform


def nifti_of(series: Path | list[Path], path: Path, axes: str = "LPS") -> Path:
    """Writes a series (a folder or its files) as NIfTI whose axes run towards the three letters in `axes`; `path`'s folder is made."""
    files = sorted(series.iterdir()) if isinstance(series, Path) else series
    slices = sorted((pydicom.dcmread(file) for file in files), key=lambda each: each.ImagePositionPatient[2])
    stored = np.stack([each.pixel_array.T.astype(np.float64) for each in slices], axis=2)
    hu = stored * float(slices[0].RescaleSlope) + float(slices[0].RescaleIntercept)
    row, column = np.split(np.array(slices[0].ImageOrientationPatient, float), 2)
    first, last = (np.array(each.ImagePositionPatient, float) for each in (slices[0], slices[-1]))
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = row * slices[0].PixelSpacing[1], column * slices[0].PixelSpacing[0]
    lps[:3, 2], lps[:3, 3] = (last - first) / (len(slices) - 1), first
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
    image = nibabel.Nifti1Image(hu.astype(np.int16), ras)
    turn = ornt_transform(io_orientation(ras), axcodes2ornt(tuple(axes)))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image.as_reoriented(turn), path)
    return path
