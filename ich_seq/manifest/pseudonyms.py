"""Names of our own for whom and what a user's own data name: tables of slices, and all that is made from them, hold nobody's identity.

Public datasets are left as they are: their identifiers are pseudonyms already, and splits are published by them.
"""

import hashlib

import numpy as np
import pandas as pd


def pseudonym(kind: str, name: str) -> str:
    """`kind` and 16 hexadecimal digits of the name's SHA-256: equal for equal names, so that tables of one hospital can be compared.

    Whoever has a list of names can try them; it keeps identities out of files, and is no anonymisation.
    """
    return f"{kind}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def without_identities(table: pd.DataFrame) -> pd.DataFrame:
    """The table with pseudonyms for PatientIDs, and for the file names that stand for the UIDs which NIfTI has not.

    UIDs of DICOM stay, and so does `path`, by which training finds the images.
    """
    table = table.assign(patient_id=[pseudonym("patient", name) for name in table["patient_id"]])
    volume = (table["slice_index"] >= 0).to_numpy(bool)
    names = np.array([pseudonym("nifti", path) for path in table["path"]], object)
    slices = [f"{name}#{place}" for name, place in zip(names, table["slice_index"], strict=True)]
    for column, instead in (
        ("study_instance_uid", names),
        ("series_instance_uid", names),
        ("sop_instance_uid", slices),
    ):
        table[column] = np.where(volume, instead, table[column])
    return table
