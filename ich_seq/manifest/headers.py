"""The headers of many files at once, in several processes, as columns of the table of slices."""

import math
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from ich_seq.dicom.checks import check_is_ct, check_slice
from ich_seq.dicom.elements import FileFaultError
from ich_seq.dicom.geometry import normal_of, position_of
from ich_seq.dicom.header import SliceHeader, file_error, read_header
from ich_seq.errors import PixelsUnreadableError
from ich_seq.manifest.table import HEADER_COLUMNS

Progress = Callable[[int, int], None]
_CHUNK = 256
_NEEDED = (
    "patient_id",
    "study_instance_uid",
    "series_instance_uid",
    "sop_instance_uid",
    "image_position_patient",
    "image_orientation_patient",
    "pixel_spacing_mm",
    "rescale_slope",
)


@dataclass(frozen=True, slots=True)
class Headers:
    """What could be read (HEADER_COLUMNS, in the order of the files), and for each file that could not, why."""

    table: pd.DataFrame
    failures: dict[str, str]


def read_headers(root: Path, files: Sequence[Path], jobs: int, progress: Progress | None = None) -> Headers:
    """The headers of `files`, which lie under root; `jobs` processes, 0 for one a core.

    A file is a failure when it is no CT image, cannot be parsed, lacks an identifier, its geometry or its rescale, or
    is too short for its pixels; the pixels themselves are not read. `progress(done, total)` counts files.
    """
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    parts: list[Headers] = []
    done = 0
    for part in _map(partial(_read_chunk, root), chunks, min(jobs or os.cpu_count() or 1, len(chunks))):
        parts.append(part)
        done += len(part.table) + len(part.failures)
        if progress is not None:
            progress(done, len(files))
    tables = [part.table for part in parts] or [_as_table([])]
    failures = {path: reason for part in parts for path, reason in part.failures.items()}
    return Headers(pd.concat(tables, ignore_index=True), failures)


def _map(read: Callable[[Sequence[Path]], Headers], chunks: Sequence[Sequence[Path]], jobs: int) -> Iterator[Headers]:
    """The parts in the order of the chunks; spawned processes, since a fork copies locks that threads hold."""
    if jobs <= 1:
        yield from map(read, chunks)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(read, chunks)


def _read_chunk(root: Path, files: Sequence[Path]) -> Headers:
    rows: list[tuple] = []
    failures: dict[str, str] = {}
    for file in files:
        path = file.relative_to(root).as_posix()
        try:
            rows.append(_row(path, _usable_header(file)))
        except PixelsUnreadableError as error:
            failures[path] = error.message
    return Headers(_as_table(rows), failures)


def _usable_header(file: Path) -> SliceHeader:
    header = read_header(file)
    try:
        check_is_ct(header)
        check_slice(header)
    except FileFaultError as fault:
        raise file_error(file.name, fault) from fault
    for name in _NEEDED:
        if getattr(header, name) in (None, ""):
            raise PixelsUnreadableError(f"{file.name}: no {name}; a table of slices needs it", code="")
    return header


def _row(path: str, header: SliceHeader) -> tuple:
    """One row in the order of HEADER_COLUMNS."""
    return (
        header.patient_id,
        header.study_instance_uid,
        header.series_instance_uid,
        header.sop_instance_uid,
        path,
        float(position_of(header) @ normal_of(header)),
        *(header.pixel_spacing_mm or ()),
        math.nan if header.slice_thickness_mm is None else header.slice_thickness_mm,
        header.rows,
        header.columns,
        header.pixels.bits_stored,
        header.pixels.pixel_representation,
    )


def _as_table(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(HEADER_COLUMNS)).astype(HEADER_COLUMNS)
