"""The bytes of a label file as Kaggle's."""

import contextlib

from fuzz.targets.scratch import scratch_file
from ich_seq.errors import DatasetError
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.kaggle import read_labels


def seeds() -> list[bytes]:
    """Good and nearly good files."""
    rows = [
        f"ID_{image:09x}_{label},{int(image % 2 and label in ('any', LABEL_NAMES[0]))}"
        for image in range(3)
        for label in LABEL_NAMES
    ]
    good = "\n".join(["ID,Label", *rows, ""])
    return [
        good.encode(),
        ("\ufeff" + good.replace("\n", "\r\n")).encode(),
        good.replace(",", ";").encode(),
        b"ID,Label\n",
    ]


def check(data: bytes) -> None:
    """Nothing where the labels are read or refused."""
    with contextlib.suppress(DatasetError):
        read_labels(scratch_file("labels.csv", data))
