"""The challenge's submission file: what a model says of slices without labels, in the order and form of the sample."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ich_seq.errors import DatasetError, PixelsUnreadableError
from ich_seq.evaluation.scoring import ScoreStore, score_table
from ich_seq.files import write_text
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.description import DatasetDescription
from ich_seq.manifest.headers import Progress, read_headers
from ich_seq.manifest.label_files import need_columns, read_label_csv, refused
from ich_seq.manifest.table import sort_slices
from ich_seq.study.model import StudyModel

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
    files = sorted(path.relative_to(root).as_posix() for path in root.glob(pattern))
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
    store = ScoreStore(out.with_name(out.name + ".scored.jsonl"), model.info.digest())
    scores: dict[str, list[float]] = {}
    for rows, found in score_table(model, table, root, store, on_series):
        if found.unreadable:
            raise PixelsUnreadableError(f"{found.unreadable[0]}; a submission needs every image", code="")
        scores |= dict(zip(rows["image"], found.stage_two.tolist(), strict=True))
    place = {name: index for index, name in enumerate(LABEL_NAMES)}
    lines = (
        f"{name},{scores[image][place[label]]:.6f}"
        for name, image, label in zip(wanted, *(wanted.str.rpartition("_")[part] for part in (0, 2)), strict=True)
    )
    write_text(out, "\n".join([",".join(_COLUMNS), *lines]) + "\n")
    store.remove()
    return len(wanted)
