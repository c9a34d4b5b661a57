"""Who trains, who validates, who is held out: a split by patient that anyone can repeat."""

import hashlib

import numpy as np
import pandas as pd

from ich_seq.config import SplitConfig
from ich_seq.dicom import Code
from ich_seq.errors import DatasetError
from ich_seq.labels import SUBTYPE_NAMES

SPLITS = ("stage_one", "stage_two", "validation", "test")


def split_table(table: pd.DataFrame, split: SplitConfig) -> pd.Series:
    """The split of each row (SPLITS) by the config's rule: by patient, by patient in folds, or (leaking) the first series.

    Raises:
        DatasetError: fewer patients than folds.
    """
    if split.first_series:
        return _split_first_series(table, split.first_series)
    return split_patients(table, split)


def split_patients(table: pd.DataFrame, split: SplitConfig) -> pd.Series:
    """The split of each row (SPLITS), the same for all slices of a patient, whatever the order of the rows.

    Patients are grouped by the rarest subtype that any of their slices shows (rarest by patients; none last), ordered
    within a group by SHA-256 of `seed:patient_id`, and dealt out along that line: each goes to the split that is
    furthest behind its share, so that every group, and the whole, is divided by the shares to within a patient or two.
    With folds, every `folds`-th of the line is a fold; the held-out one is `test`, the others are dealt out likewise.

    Raises:
        DatasetError: fewer patients than folds.
    """
    patients, patient = np.unique(table["patient_id"].to_numpy(str), return_inverse=True)
    positive = np.zeros((len(patients), len(SUBTYPE_NAMES)), bool)
    np.logical_or.at(positive, patient, table[list(SUBTYPE_NAMES)].to_numpy(bool))
    by_rarity = positive[:, np.argsort(positive.sum(axis=0), kind="stable")]
    stratum = np.where(by_rarity.any(axis=1), by_rarity.argmax(axis=1), len(SUBTYPE_NAMES))
    digests = [hashlib.sha256(f"{split.seed}:{name}".encode()).hexdigest() for name in patients]
    line = sorted(range(len(patients)), key=lambda i: (stratum[i], digests[i]))
    dealt = np.empty(len(patients), object)
    if split.folds:
        if len(line) < split.folds:
            raise DatasetError(f"{len(line)} patients cannot be divided into {split.folds} folds")
        held_out = line[split.fold :: split.folds]
        dealt[held_out] = "test"
        line = [i for i in line if dealt[i] is None]
        dealt[line] = _deal(len(line), {name: getattr(split, name) for name in SPLITS[:3]})
    else:
        dealt[line] = _deal(len(line), {name: getattr(split, name) for name in SPLITS})
    return pd.Series(dealt[patient], index=table.index, name="split", dtype="str")


def _split_first_series(table: pd.DataFrame, count: int) -> pd.Series:
    series = sorted(set(table["series_instance_uid"]))
    chosen = {
        name: "stage_one" if place < count else ("validation", "test")[(place - count) % 2]
        for place, name in enumerate(series)
    }
    return table["series_instance_uid"].map(chosen).astype("str").rename("split")


def split_digest(table: pd.DataFrame) -> str:
    """SHA-256 (64 hex digits) of who is where: the sorted lines `series<tab>split`; equal for equal splits of equal data."""
    distinct = table[["series_instance_uid", "split"]].drop_duplicates()
    pairs = sorted(zip(distinct["series_instance_uid"], distinct["split"], strict=True))
    return hashlib.sha256("".join(f"{name}\t{split}\n" for name, split in pairs).encode()).hexdigest()


def check_no_leak(table: pd.DataFrame) -> None:
    """Nothing when every patient, and every series, is in one split only.

    Raises:
        DatasetError: one is in two; `code` is E-LEAK, and the message counts them and names the first ten.
    """
    for column, what in (("patient_id", "patients"), ("series_instance_uid", "series")):
        names = table[[column, "split"]].drop_duplicates()[column]
        leaking = sorted(set(names[names.duplicated()]))
        if leaking:
            shown = ", ".join(leaking[:10]) + (", ..." if len(leaking) > 10 else "")
            code = Code.E_LEAK
            message = f"{code.value}: {len(leaking)} {what} in more than one split: {shown}. {code.remedy}"
            raise DatasetError(message, code=code.value, items=leaking)


def _deal(patients: int, shares: dict[str, float]) -> list[str]:
    """A split for each place in line; ties go to the split named first."""
    names = list(shares)
    share = np.array(list(shares.values()))
    share = share / share.sum()
    given = np.zeros(len(names))
    dealt = []
    for place in range(1, patients + 1):
        chosen = int(np.argmax(np.round(share * place - given, 9)))  # rounded: equal shares must tie exactly
        given[chosen] += 1
        dealt.append(names[chosen])
    return dealt
