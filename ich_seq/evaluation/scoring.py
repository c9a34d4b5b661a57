"""Many series through a bundle, resumably: what both stages say of every slice, kept as soon as a series is done."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from ich_seq.config.preprocess import ALONE
from ich_seq.distrust import DamagedError, sealed, whole_lines
from ich_seq.errors import OutputError, PixelsUnreadableError
from ich_seq.files import output_errors, write_text
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.table import slice_places
from ich_seq.nifti import read_square_slice
from ich_seq.study.assemble import refuse_non_probabilities
from ich_seq.study.chunks import CHUNK_SLICES, in_chunks, one_ahead
from ich_seq.study.model import StudyModel, reach_of, read_chunk
from ich_seq.volume import Slice

STORE_VERSION = 3
DECIMALS = 9


@dataclass(frozen=True, slots=True)
class SeriesScores:
    """Both stages' probabilities of one series, in the order of its rows; nan where a slice cannot be read."""

    stage_one: Float64[np.ndarray, "s 6"]
    stage_two: Float64[np.ndarray, "s 6"]
    unreadable: tuple[str, ...] = ()


def score_table(
    model: StudyModel,
    table: pd.DataFrame,
    root: Path,
    store: "ScoreStore",
    on_series: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[tuple[pd.DataFrame, SeriesScores]]:
    """The rows of each series, feet to head, with their scores; a series that is in the store is not scored again.

    One with slices that cannot be read is not kept there: they may have been repaired when the call is repeated.

    Raises:
        OutputError: the store cannot be written.
    """
    groups = list(table.groupby("series_instance_uid", sort=True))
    for done, (_, series) in enumerate(groups, start=1):
        rows = series.sort_values(["position_mm", "sop_instance_uid"])
        found = store.find(rows)
        if found is None:
            found = score_series(model, rows, root, store.decimals)
            if not found.unreadable:
                store.add(rows, found)
        yield rows, found
        on_series(done, len(groups))


def score_series(model: StudyModel, rows: pd.DataFrame, root: Path, decimals: int | None = DECIMALS) -> SeriesScores:
    """Both stages on one series, whose rows run feet to head; slices that cannot be read are left out of it and named.

    So is a slice alone, where the model reads neighbouring slices. Probabilities are rounded to `decimals`; None keeps every bit.

    Raises:
        ModelError: a probability is not a finite number in [0, 1]: it would look like a slice that cannot be read.
    """
    prob, reduced, kept = [], [], []
    unreadable: list[str] = []
    for chunk in one_ahead(in_chunks(_readable(rows, root, unreadable), CHUNK_SLICES, reach_of(model))):
        chunk_prob, chunk_reduced = read_chunk(model, chunk)
        prob.append(chunk_prob)
        reduced.append(chunk_reduced)
        kept += chunk.indices
    if reach_of(model) and len(kept) == 1:
        unreadable.append(f"{rows['path'].iloc[kept.pop()]}: {ALONE}")
    one, two = (np.full((len(rows), len(LABEL_NAMES)), np.nan) for _ in range(2))
    if kept:
        one[kept] = np.concatenate(prob)
        two[kept] = model.refine(np.concatenate(reduced), np.concatenate(prob))
        refuse_non_probabilities(one[kept], two[kept])
    if decimals is not None:
        one, two = one.round(decimals), two.round(decimals)
    return SeriesScores(one, two, tuple(unreadable))


def _readable(rows: pd.DataFrame, root: Path, unreadable: list[str]) -> Iterator[tuple[int, Slice]]:
    """Place and HU of every row that can be read; the faults of the others are added to `unreadable`."""
    for place, (path, index) in enumerate(slice_places(rows, root)):
        try:
            hu = read_square_slice(path, index)
        except PixelsUnreadableError as error:
            unreadable.append(error.message)
        else:
            yield place, hu


class ScoreStore:
    """The scores of finished series as JSON lines, the first of which names the model; a line that a kill cut short is left out."""

    def __init__(self, path: Path, model_digest: str, decimals: int | None = DECIMALS) -> None:
        """Takes up what is there, or begins; scores are kept to `decimals`, or with None to the last bit.

        Raises:
            OutputError: the file holds scores of another model or of another version, or cannot be written.
        """
        self.path, self.decimals = path, decimals
        exact = {"exact": True} if decimals is None else {}
        owner = {"model": model_digest, "version": STORE_VERSION, **exact}
        lines = _lines_of(path)
        if lines[:1] != [owner] and path.exists() and path.stat().st_size:
            raise OutputError(
                f"{path}: holds scores of another model or of another version; remove it, or choose another --out",
                path=path,
            )
        self._known = {line["series"]: line for line in lines[1:] if {"series", "one", "two"} <= line.keys()}
        write_text(path, "".join(json.dumps(sealed(line)) + "\n" for line in (owner, *self._known.values())))

    def find(self, rows: pd.DataFrame) -> SeriesScores | None:
        """What is kept of the series with these slices in this order; None when it has not been scored."""
        line = self._known.get(_key(rows))
        if line is None:
            return None
        one, two = (np.array(line[stage], np.float64).reshape(-1, len(LABEL_NAMES)) for stage in ("one", "two"))
        return SeriesScores(one, two)

    def add(self, rows: pd.DataFrame, scores: SeriesScores) -> None:
        """Keeps one series.

        Raises:
            OutputError: disk full, or the file is not writable.
        """
        line = {"series": _key(rows), "one": scores.stage_one.tolist(), "two": scores.stage_two.tolist()}
        with output_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(sealed(line)) + "\n")

    def remove(self) -> None:
        """Removes the file, when all is done."""
        self.path.unlink(missing_ok=True)


def _lines_of(path: Path) -> list[dict[str, Any]]:
    try:
        return list(whole_lines(path))
    except DamagedError as error:
        raise OutputError(f"{path}: {error}; remove it, or choose another --out", path=path) from error


def _key(rows: pd.DataFrame) -> str:
    """A series by its slices: SHA-256 of their identifiers in order."""
    return hashlib.sha256("\n".join(rows["sop_instance_uid"]).encode()).hexdigest()
