"""The series of a table of slices, read from disk, the next ones while one is computed."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import pandas as pd
from jaxtyping import Float32

from ich_seq.errors import PixelsUnreadableError
from ich_seq.manifest.table import slice_places
from ich_seq.nifti import read_square_slice

READ_COLUMNS = ("series_instance_uid", "sop_instance_uid", "position_mm", "path", "slice_index")
"""What extraction needs of a table of slices."""
_READERS, _MOST_READERS = 2, 8


@dataclass(frozen=True)
class LoadedSeries:
    """One series in HU, in the order of its rows; `unreadable` says which slices were left out, and why."""

    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    position_mm: np.ndarray
    slices_hu: list[Float32[np.ndarray, "y x"]]
    unreadable: list[str]


class SeriesRows(Sequence[pd.DataFrame]):
    """The rows of each series of a table, feet to head, in order of SeriesInstanceUID; a frame is made when it is asked for."""

    def __init__(self, table: pd.DataFrame) -> None:
        ordered = table[list(READ_COLUMNS)].sort_values(
            ["series_instance_uid", "position_mm", "sop_instance_uid"], kind="stable"
        )
        uids = ordered["series_instance_uid"]
        first = np.flatnonzero((uids != uids.shift()).to_numpy(bool))
        self._ordered = ordered
        self._ends = np.append(first, len(ordered))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> pd.DataFrame: ...
    @overload
    def __getitem__(self, place: slice) -> list[pd.DataFrame]: ...
    def __getitem__(self, place: int | slice) -> pd.DataFrame | list[pd.DataFrame]:
        """The rows of one series, or of several."""
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(f"series {place} of {len(self)}")
        return self._ordered.iloc[self._ends[place] : self._ends[place + 1]]

    def slices(self, places: Sequence[int]) -> int:
        """How many slices the series at these places have."""
        return int(np.diff(self._ends)[list(places)].sum())


def read_series(rows: pd.DataFrame, root: Path) -> LoadedSeries:
    """One series from disk, in the order of its rows; slices that cannot be read are left out, and named by UID: that is kept."""
    slices, kept, unreadable = [], [], []
    for position, (place, uid) in enumerate(zip(slice_places(rows, root), rows["sop_instance_uid"], strict=True)):
        try:
            slices.append(read_square_slice(*place))
            kept.append(position)
        except PixelsUnreadableError as error:
            unreadable.append(f"{uid}: {error.message.removeprefix(f'{place[0].name}: ')}")
    ordered = rows.iloc[kept]
    return LoadedSeries(
        str(rows["series_instance_uid"].iloc[0]),
        tuple(ordered["sop_instance_uid"]),
        ordered["position_mm"].to_numpy(np.float64),
        slices,
        unreadable,
    )


def identity_of(extractor: str, series: LoadedSeries) -> str:
    """What a part depends on: the extractor, and pixels and geometry in order; 64 hexadecimal digits."""
    digest = hashlib.sha256(extractor.encode())
    digest.update(series.position_mm.tobytes())
    for hu in series.slices_hu:
        digest.update(f"{hu.shape}".encode())
        digest.update(np.ascontiguousarray(hu).tobytes())
    digest.update("\n".join((series.series_instance_uid, *series.sop_instance_uids)).encode())
    return digest.hexdigest()


def readers_for(device: str) -> int:
    """So many threads read series ahead, each holding one: two are enough for a processor's network, a GPU waits for more."""
    if not device.startswith("cuda"):
        return _READERS
    return max(_READERS, min(_MOST_READERS, len(os.sched_getaffinity(0))))


def read_ahead(
    groups: SeriesRows, places: list[int], root: Path, extractor: str, readers: int = _READERS
) -> Iterator[tuple[LoadedSeries, str]]:
    """The series at these places with their identities, one after another, the next ones being read while one is computed."""

    def read(place: int) -> tuple[LoadedSeries, str]:
        series = read_series(groups[place], root)
        return series, identity_of(extractor, series)

    with ThreadPoolExecutor(max_workers=readers) as pool:
        waiting = deque(pool.submit(read, place) for place in places[:readers])
        for position in range(len(places)):
            found = waiting.popleft().result()
            if position + readers < len(places):
                waiting.append(pool.submit(read, places[position + readers]))
            yield found
