"""The headers of many files at once, in several processes, as columns of the table of slices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from ich_seq.manifest.header_rows import Row, read_rows
from ich_seq.manifest.table import HEADER_COLUMNS, OPTIONAL_COLUMNS
from ich_seq.pools import in_order

Progress = Callable[[int, int], None]
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Headers:
    """What could be read (HEADER_COLUMNS and OPTIONAL_COLUMNS, in the order of the files), and for each file that could not, why."""

    table: pd.DataFrame
    failures: dict[str, str]


def read_headers(root: Path, files: Sequence[str], jobs: int, progress: Progress | None = None) -> Headers:
    """The headers of `files`, paths relative to root with `/`; `jobs` processes, 0 for one a core.

    A file is a failure when it is no CT image, cannot be parsed, lacks an identifier, its geometry or its rescale, or
    is too short for its pixels; the pixels themselves are not read. `progress(done, total)` counts files.
    """
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    tables = [_as_table([])]
    failures: dict[str, str] = {}
    done = 0
    for rows, failed in in_order(partial(read_rows, root), chunks, jobs):
        tables.append(_as_table(rows))
        failures |= failed
        done += len(rows) + len(failed)
        if progress is not None:
            progress(done, len(files))
    return Headers(pd.concat(tables, ignore_index=True), failures)


def _as_table(rows: list[Row]) -> pd.DataFrame:
    columns = HEADER_COLUMNS | OPTIONAL_COLUMNS
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)
