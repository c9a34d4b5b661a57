"""What one looks at before training: a dataset's labels, its geometry, its HU, a few of its slices and one header."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64, Int64
from scipy.ndimage import binary_fill_holes

from ich_seq.dicom import read_header
from ich_seq.dicom.dump import HeaderLine, dump_header
from ich_seq.dicom.geometry import normal_of, position_of
from ich_seq.errors import DatasetError, PixelsUnreadableError
from ich_seq.labels import ANY, LABEL_NAMES, SUBTYPE_NAMES
from ich_seq.manifest.table import slice_places
from ich_seq.nifti import read_stored_slice
from ich_seq.volume import WHOLE_FILE

HU_EDGES = np.arange(-1100, 2001, 5)
"""Edges of the bins of the HU histograms."""
_HEAD_HU = -200


@dataclass(frozen=True)
class Example:
    """One slice in HU with its labels; `spacing_mm` is (row step, column step)."""

    title: str
    hu: Float32[np.ndarray, "y x"]
    spacing_mm: tuple[float, float]


@dataclass(frozen=True)
class Exploration:
    """The facts; label arrays are in the order of LABEL_NAMES.

    `positive` has a row each for patients, series and slices; `together[i, j]` counts slices with both labels. Of a seeded sample are
    `tilt_deg` and `hu_share`, the share of the head's pixels by HU_EDGES, in slices without and with any haemorrhage.
    """

    dataset: str
    totals: dict[str, int]
    positive: Int64[np.ndarray, "3 l"]
    together: Int64[np.ndarray, "l l"]
    slices_per_series: Int64[np.ndarray, " s"]
    spacing_mm: Float64[np.ndarray, " s"]
    tilt_deg: Float64[np.ndarray, " t"]
    formats: dict[str, int]
    splits: dict[str, tuple[int, int, int]]
    hu_share: Float64[np.ndarray, "2 b"]
    hu_slices: tuple[int, int]
    examples: list[Example]
    header: list[HeaderLine]
    header_name: str
    unreadable: int


def explore(
    table: pd.DataFrame,
    root: Path,
    sample: int = 200,
    seed: int = 0,
    on_slice: Callable[[int, int], None] = lambda done, total: None,
) -> Exploration:
    """Looks at a table of slices, and at `sample` of its slices and series, drawn at random from `seed`.

    Raises:
        DatasetError: the table is empty, or none of the sampled slices can be read.
    """
    if table.empty:
        raise DatasetError("the table has no slices")
    rng = np.random.default_rng(seed)
    groups = {"patients": "patient_id", "series": "series_instance_uid"}
    positive = [table.groupby(column)[list(LABEL_NAMES)].max().sum() for column in groups.values()]
    truth = table[list(LABEL_NAMES)].to_numpy(np.int64)
    share, counts, unreadable = _histograms(table, root, sample, rng, on_slice)
    header, header_name = _one_header(table, root)
    by_series = table.groupby("series_instance_uid", sort=True)
    return Exploration(
        dataset=str(table["dataset"].iloc[0]),
        totals={
            **{name: table[column].nunique() for name, column in groups.items()},
            "slices": len(table),
        },
        positive=np.stack([*(part.to_numpy(np.int64) for part in positive), truth.sum(axis=0)]),
        together=truth.T @ truth,
        slices_per_series=by_series.size().to_numpy(np.int64),
        spacing_mm=_spacing(table),
        tilt_deg=_tilts(table, root, sample, rng),
        formats=_formats(table),
        splits={
            str(name): (part["patient_id"].nunique(), part["series_instance_uid"].nunique(), len(part))
            for name, part in table.groupby("split")
        },
        hu_share=share,
        hu_slices=counts,
        examples=_examples(table, root, rng),
        header=header,
        header_name=header_name,
        unreadable=unreadable,
    )


def _spacing(table: pd.DataFrame) -> Float64[np.ndarray, " s"]:
    """The median step of each series with two slices or more, in mm."""
    ordered = table.sort_values(["series_instance_uid", "position_mm"])
    step = ordered.groupby("series_instance_uid")["position_mm"].diff()
    return step.groupby(ordered["series_instance_uid"]).median().dropna().to_numpy(np.float64)


def _formats(table: pd.DataFrame) -> dict[str, int]:
    """How many slices there are of each matrix and pixel format, the commonest first."""
    kinds = (
        table.groupby(["rows", "columns", "bits_stored", "pixel_representation"]).size().sort_values(ascending=False)
    )
    return {
        _format(*(int(value) for value in key)): int(count)
        for key, count in zip(kinds.index.tolist(), kinds.tolist(), strict=True)
    }


def _format(rows: int, columns: int, bits: int, signed: int) -> str:
    stored = f"{bits} bits, {'signed' if signed else 'unsigned'}" if bits else "NIfTI"
    return f"{rows} x {columns}, {stored}"


def _tilts(table: pd.DataFrame, root: Path, sample: int, rng: np.random.Generator) -> Float64[np.ndarray, " t"]:
    """Angle in degrees between the slice normal and the line through the positions of a series' first and last slice."""
    found = []
    single = table[table["slice_index"] == WHOLE_FILE].sort_values("position_mm")
    ends = single.groupby("series_instance_uid")["path"].agg(["first", "last", "size"])
    ends = ends[ends["size"] > 1]
    for row in rng.permutation(len(ends))[:sample]:
        try:
            first, last = (read_header(root / str(ends[end].iloc[row])) for end in ("first", "last"))
            along = position_of(last) - position_of(first)
            cosine = float(along @ normal_of(first) / np.linalg.norm(along))
        except (PixelsUnreadableError, ValueError):
            continue
        found.append(float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))))
    return np.array(found, np.float64)


def _histograms(
    table: pd.DataFrame, root: Path, sample: int, rng: np.random.Generator, on_slice: Callable[[int, int], None]
) -> tuple[Float64[np.ndarray, "2 b"], tuple[int, int], int]:
    """Without and with any haemorrhage: the mean share of the head's pixels in each bin, and how many slices that is."""
    total, count, unreadable = np.zeros((2, len(HU_EDGES) - 1)), [0, 0], 0
    halves = [table[table[ANY.name] == value] for value in (0, 1)]
    drawn = [half.iloc[rng.permutation(len(half))[: sample // 2]] for half in halves]
    size, done = sum(map(len, drawn)), 0
    for value, rows in enumerate(drawn):
        for place in slice_places(rows, root):
            done += 1
            on_slice(done, size)
            try:
                hu = read_stored_slice(*place)
            except PixelsUnreadableError:
                unreadable += 1
                continue
            head = np.asarray(binary_fill_holes(hu > _HEAD_HU))
            if head.any():
                total[value] += np.histogram(hu[head], HU_EDGES)[0] / head.sum()
                count[value] += 1
    if not any(count):
        raise DatasetError(f"{root}: none of {size} sampled slices can be read")
    return total / np.maximum(np.array(count)[:, None], 1), (count[0], count[1]), unreadable


def _examples(table: pd.DataFrame, root: Path, rng: np.random.Generator) -> list[Example]:
    """A slice of each subtype, if there is one that can be read, and one without haemorrhage."""
    chosen = [("none", table[table[ANY.name] == 0])]
    chosen += [(name, table[table[name] == 1]) for name in SUBTYPE_NAMES]
    examples = []
    for title, rows in chosen:
        for row in rng.permutation(len(rows))[:5]:
            one = rows.iloc[[int(row)]]
            try:
                hu = read_stored_slice(*slice_places(one, root)[0])
            except PixelsUnreadableError:
                continue
            spacing = (float(one["row_spacing_mm"].iloc[0]), float(one["column_spacing_mm"].iloc[0]))
            examples.append(Example(title, hu, spacing))
            break
    return examples


def _one_header(table: pd.DataFrame, root: Path) -> tuple[list[HeaderLine], str]:
    single = table[table["slice_index"] == WHOLE_FILE]
    if single.empty:
        return [], ""
    try:
        return dump_header(root / single["path"].iloc[0]), str(single["sop_instance_uid"].iloc[0])
    except PixelsUnreadableError:
        return [], ""
