"""One part of the tile cache: the tiles of some series in one HDF5 file, complete or absent, and distrusted when read."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from jaxtyping import UInt8
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ich_seq.config import PreprocessConfig, Window
from ich_seq.errors import CacheError
from ich_seq.files import in_memory

FORMAT = 2
FORMAT_FILE = "tiles.json"
PARTS = "parts"
KEY = ["sop_instance_uid", "path", "slice_index"]
"""The columns of a table of slices that say which slice a tile is of."""
FULL = 255
"""The stored number of 1.0; half a step is 1/510 of a window's width: 0.16, 0.39 and 0.75 HU in the published three."""

_NAME = re.compile(r"([0-9a-f]{64})\.h5")
_TEXT = h5py.string_dtype("utf-8")
_MOST_SLICES = 1_000_000
_UNUSABLE = (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError)


class TileFormat(BaseModel):
    """What decides a tile's numbers: windows and size; mean and standard deviation come later and do not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    windows: tuple[Window, ...] = Field(min_length=1)
    size: int = Field(gt=0)
    antialias: bool

    @classmethod
    def of(cls, config: PreprocessConfig) -> "TileFormat":
        """The tiles that this preprocessing makes."""
        return cls(windows=config.windows, size=config.size, antialias=config.antialias)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of a tile."""
        return len(self.windows), self.size, self.size

    @property
    def identity(self) -> str:
        """SHA-256 over all of it, as 64 hexadecimal digits."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def __str__(self) -> str:
        windows = ", ".join(f"{window.level:g}/{window.width:g}" for window in self.windows)
        return f"{self.size} px, windows {windows} HU{', antialiased' if self.antialias else ''}"


def read_format(folder: Path) -> TileFormat:
    """What the tiles in `folder` are.

    Raises:
        CacheError: there are none, or the file that says it is damaged or of another version.
    """
    path = folder / FORMAT_FILE
    try:
        form = TileFormat.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise CacheError(f"{folder}: no tile cache here; run `ichseq cache-tiles` first", path=folder) from None
    except (OSError, ValidationError) as error:
        raise CacheError(f"{path}: damaged; remove the folder and run `ichseq cache-tiles` again", path=path) from error
    if form.format != FORMAT:
        raise CacheError(f"{path}: format {form.format}, this version reads {FORMAT}", path=path)
    return form


def part_identity(form: TileFormat, slices: pd.DataFrame) -> str:
    """SHA-256 over the tiles' format and which slices these are, in order; the pixels are not read for it."""
    return hashlib.sha256((form.identity + slices[KEY].to_csv(index=False)).encode()).hexdigest()


def part_paths(folder: Path) -> list[Path]:
    """The parts in `folder` by name; links, and files whose name is not 64 hexadecimal digits, are none."""
    return sorted(path for path in folder.glob("*.h5") if _NAME.fullmatch(path.name) and not path.is_symlink())


def write_part(
    folder: Path, form: TileFormat, slices: pd.DataFrame, tiles: Iterable[UInt8[np.ndarray, "c size size"] | str]
) -> list[str]:
    """Writes one part whole or not at all, a tile at a time, and returns why slices have no tile.

    Args:
        folder: where parts lie.
        form: the tiles' format.
        slices: which slices they are (KEY).
        tiles: of each slice its tile, or the reason why it cannot be read.

    Raises:
        OutputError: disk full, or the folder is not writable.
    """
    identity = part_identity(form, slices)
    reasons = [""] * len(slices)
    with in_memory(folder / f"{identity}.h5") as buffer, h5py.File(buffer, "w", libver="latest") as file:
        file.attrs["identity"] = identity
        # Real series at 256 px: none 197 kB and .03 to .13 ms a read, lzf 51 to 66 kB and .5 ms, gzip-1 45 to 59 kB and .4 to .6 ms.
        stored = file.create_dataset(
            "tiles",
            (len(slices), *form.shape),
            np.uint8,
            chunks=(1, *form.shape),
            compression="gzip",
            compression_opts=1,
            fletcher32=True,
        )
        for row, tile in enumerate(tiles):
            if isinstance(tile, str):
                reasons[row] = tile
            else:
                stored[row] = tile
        file.create_dataset("slice_index", data=slices["slice_index"].to_numpy(np.int64))
        for name, texts in ((KEY[0], slices[KEY[0]]), (KEY[1], slices[KEY[1]]), ("unreadable", reasons)):
            file.create_dataset(name, data=list(texts), dtype=_TEXT, shape=(len(slices),))
    return [reason for reason in reasons if reason]


def read_slices(path: Path, form: TileFormat) -> pd.DataFrame:
    """Which slices a part holds, in its order: KEY, and in `unreadable` why a slice has no tile, or nothing.

    Raises:
        CacheError: damaged, of other slices or another format than its name says, or with data stored elsewhere.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            count = len(_tiles(file, path, form))
            columns = {name: _own(file, name, (count,)) for name in (*KEY, "unreadable")}
            slices = pd.DataFrame(
                {name: columns[name].asstr()[:] for name in (KEY[0], KEY[1], "unreadable")}, dtype="str"
            )
            slices.insert(2, "slice_index", columns["slice_index"][:].astype(np.int32))
    except _UNUSABLE as error:
        raise _unusable(path, error) from error
    if part_identity(form, slices) != path.stem:
        raise _unusable(path, "its slices are not those of its name")
    return slices


def open_tiles(path: Path, form: TileFormat) -> h5py.Dataset:
    """The tiles of a part, uint8, one a chunk; the file stays open with them.

    Raises:
        CacheError: absent, damaged, of another format, or with data stored elsewhere.
    """
    try:
        return _tiles(h5py.File(path, "r", locking=False, rdcc_nbytes=0), path, form)
    except _UNUSABLE as error:
        raise _unusable(path, error) from error


def read_tile(tiles: h5py.Dataset, row: int, path: Path) -> UInt8[np.ndarray, "c size size"]:
    """One tile of `path`; its checksum is verified.

    Raises:
        CacheError: damaged.
    """
    try:
        return tiles[row]
    except _UNUSABLE as error:
        raise _unusable(path, error) from error


def _tiles(file: h5py.File, path: Path, form: TileFormat) -> h5py.Dataset:
    if file.attrs["identity"] != path.stem:
        raise ValueError("its identity is not its name")
    tiles = _own(file, "tiles")
    if tiles.ndim != 4 or tiles.shape[1:] != form.shape or not 0 < len(tiles) <= _MOST_SLICES:
        raise ValueError(f"tiles has shape {tiles.shape}, not slices x {form.shape}")
    if tiles.dtype != np.uint8 or tiles.chunks != (1, *form.shape) or not tiles.fletcher32:
        raise ValueError("tiles is not stored as one checked chunk of bytes a slice")
    return tiles


def _own(file: h5py.File, name: str, shape: tuple[int, ...] | None = None) -> h5py.Dataset:
    """A data set stored in this very file, of this shape; links elsewhere, external storage and virtual sets are refused."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is a link, or absent")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise ValueError(f"{name} is not stored in this file")
    if shape is not None and dataset.shape != shape:
        raise ValueError(f"{name} has shape {dataset.shape}, not {shape}")
    return dataset


def _unusable(path: Path, why: object) -> CacheError:
    return CacheError(
        f"{path}: this part of the tile cache cannot be used ({why}); remove the file and run `ichseq cache-tiles` again",
        path=path,
    )
