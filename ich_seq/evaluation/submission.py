"""The challenge's submission file: what a model says of slices without labels, in the order and form of the sample."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32

from ich_seq.errors import DatasetError, OutputError
from ich_seq.files import output_errors, write_text
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.description import DatasetDescription
from ich_seq.manifest.headers import Progress, read_headers
from ich_seq.manifest.label_files import need_columns, read_label_csv, refused
from ich_seq.manifest.table import slice_places, sort_slices
from ich_seq.nifti import read_stored_slice
from ich_seq.study.score import CHUNK_SLICES, StudyModel

_COLUMNS = ("ID", "Label")


def read_sample(path: Path) -> pd.Series:
    """The identifiers of the sample submission, in its order: six rows an image.

    Raises:
        DatasetError: not such a file, an unknown label, a row twice, or an image without all six.
    """
    rows = read_label_csv(path)
    need_columns(path, rows, _COLUMNS)
    parts = rows["ID"].str.rpartition("_")
    if (bad := ~parts[2].isin(LABEL_NAMES)).any():
        raise refused(path, "E-LABEL-INCOMPLETE", "rows with an unknown label", rows["ID"][bad])
    if (twice := rows["ID"].duplicated()).any():
        raise refused(path, "E-LABEL-CONFLICT", "rows repeat an earlier one", rows["ID"][twice])
    count = parts[0].value_counts()
    if (short := count != len(LABEL_NAMES)).any():
        raise refused(path, "E-LABEL-INCOMPLETE", "images without a row for each of the six labels", count.index[short])
    return rows["ID"]


def read_unlabelled(
    description: DatasetDescription, root: Path, jobs: int, progress: Progress | None = None
) -> pd.DataFrame:
    """The header columns of every image that the dataset gives without labels, in order of series and position, and its stem `image`.

    Raises:
        DatasetError: the dataset has none, or an image cannot be read.
    """
    pattern = description.layout.unlabelled_images
    if pattern is None:
        raise DatasetError(f"{description.name}: has no images without labels; there is nothing to submit")
    files = sorted(root.glob(pattern))
    if not files:
        raise DatasetError(f"{root}: no file matches {pattern}; is this the dataset's root?", root=root)
    headers = read_headers(root, files, jobs, progress)
    if headers.failures:
        first = next(iter(headers.failures.values()))
        raise DatasetError(
            f"{root}: {len(headers.failures)} images cannot be read, and a submission needs all: {first}", root=root
        )
    table = sort_slices(headers.table)
    return table.assign(image=[Path(path).stem for path in table["path"]])


def write_submission(
    model: StudyModel,
    table: pd.DataFrame,
    root: Path,
    sample: Path,
    out: Path,
    on_series: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Scores every series and writes the submission in the order of the sample; returns the number of rows.

    What is scored is kept beside `out`, so that an interrupted call goes on; that file is removed at the end.

    Raises:
        DatasetError: the sample asks for images that are not there, or there are images that it does not ask for.
        PixelsUnreadableError: a slice cannot be decoded.
        OutputError: the file cannot be written.
    """
    wanted = read_sample(sample)
    images = set(wanted.str.rpartition("_")[0])
    there = set(table["image"])
    if absent := sorted(images - there):
        raise refused(sample, "E-LABEL-WITHOUT-IMAGE", "images of the sample are not on disk", absent)
    if unasked := sorted(there - images):
        raise refused(sample, "E-IMAGE-WITHOUT-LABEL", "images on disk are not in the sample", unasked)
    store = _Store(out.with_name(out.name + ".scored.jsonl"), model.info.digest())
    scores: dict[str, list[float]] = {}
    groups = list(table.groupby("series_instance_uid", sort=True))
    for done, (_, rows) in enumerate(groups, start=1):
        found = store.known.get(_key(rows))
        if found is None:
            found = _score(model, rows, root).astype(float).round(6).tolist()
            store.add(_key(rows), found)
        scores |= dict(zip(rows["image"], found, strict=True))
        on_series(done, len(groups))
    place = {name: index for index, name in enumerate(LABEL_NAMES)}
    lines = (
        f"{name},{scores[image][place[label]]:.6f}"
        for name, image, label in zip(wanted, *(wanted.str.rpartition("_")[part] for part in (0, 2)), strict=True)
    )
    write_text(out, "\n".join([",".join(_COLUMNS), *lines]) + "\n")
    store.path.unlink(missing_ok=True)
    return len(wanted)


class _Store:
    """The scores of finished series as JSON lines, the first of which names the model."""

    def __init__(self, path: Path, model_digest: str) -> None:
        self.path = path
        self.known: dict[str, list[list[float]]] = {}
        lines = list(_whole_lines(path))
        if lines and lines[0] != {"model": model_digest}:
            raise OutputError(f"{path}: holds scores of another model; remove it, or choose another --out", path=path)
        self.known = {line["series"]: line["scores"] for line in lines[1:]}
        content = [{"model": model_digest}, *({"series": key, "scores": value} for key, value in self.known.items())]
        write_text(path, "".join(json.dumps(line) + "\n" for line in content))

    def add(self, key: str, scores: list[list[float]]) -> None:
        """Keeps one series."""
        with output_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"series": key, "scores": scores}) + "\n")


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines before the one that a kill may have cut short."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return


def _key(rows: pd.DataFrame) -> str:
    """A series by its slices: SHA-256 of their identifiers in order."""
    return hashlib.sha256("\n".join(rows["sop_instance_uid"]).encode()).hexdigest()


def _score(model: StudyModel, rows: pd.DataFrame, root: Path) -> Float32[np.ndarray, "s l"]:
    """Stage two's probabilities of one series, feet to head."""
    prob, reduced = [], []
    places = slice_places(rows, root)
    for start in range(0, len(places), CHUNK_SLICES):
        reading = model.read_slices([read_stored_slice(*place) for place in places[start : start + CHUNK_SLICES]])
        prob.append(reading[0])
        reduced.append(reading[1])
    return model.refine(np.concatenate(reduced), np.concatenate(prob))
