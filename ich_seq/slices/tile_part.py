"""One part of the tile cache: the tiles of some series in one HDF5 file, complete or absent, and distrusted when read."""

import hashlib
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from jaxtyping import UInt8
from pydantic import ValidationError

from ich_seq.config import PreprocessConfig, TileConfig
from ich_seq.distrust import MOST_JSON, DamagedError, open_own, read_own, sealed, strict_object, unsealed
from ich_seq.errors import CacheError, ConfigError
from ich_seq.files import in_memory, output_errors, write_json
from ich_seq.hdf5 import (
    DIGEST,
    UNUSABLE,
    attribute,
    check_members,
    digest_of,
    own_chunked,
    read_array,
    read_texts,
    write_attribute,
    write_texts,
)

FORMAT = 2
"""2: parts and their description hold their own digests, and texts have a fixed length."""
FORMAT_FILE = "tiles.json"
PARTS = "parts"
KEY = ["sop_instance_uid", "path", "slice_index"]
"""The columns of a table of slices that say which slice a tile is of."""
FULL = 255
"""The stored number of 1.0; half a step is 1/510 of a window's width: 0.16, 0.39 and 0.75 HU in the published three."""

_NAME = re.compile(r"([0-9a-f]{64})\.h5")
_TEXTS = (KEY[0], KEY[1], "unreadable")
_MOST_SLICES = 1_000_000
_MOST_BYTES = 1 << 40
_SPARE = 1024
"""Bytes by which gzip and the checksum may make a tile longer."""
_FILTERS = 2
"""gzip, then the checksum."""


class TileFormat(TileConfig):
    """What decides a tile's numbers: windows and size; mean, standard deviation and neighbours come later and do not."""

    format: int = FORMAT
    """Of the parts and their description."""

    @classmethod
    def of(cls, config: PreprocessConfig) -> "TileFormat":
        """The tiles that this preprocessing makes.

        Raises:
            ConfigError: 256 steps are too few for them.
        """
        if config.windowing == "largest_absolute":
            raise ConfigError(
                'preprocess.windowing = "largest_absolute": the tile cache keeps 256 steps, of 16 HU where the largest is 2,000; '
                "train from the images (without --tiles), with train_cnn.keep_tiles_in_memory where they fit"
            )
        return cls.model_validate(config.model_dump(include=set(TileConfig.model_fields)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of a tile."""
        return self.slice_channels, self.size, self.size

    @property
    def identity(self) -> str:
        """SHA-256 over all of it, as 64 hexadecimal digits."""
        fields = {"format": self.format, **self.model_dump(mode="json", exclude={"format"})}
        return hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.size} px, {self.describe()}{', antialiased' if self.antialias else ''}"


def read_format(folder: Path) -> TileFormat:
    """What the tiles in `folder` are.

    Raises:
        CacheError: there are none, or the file that says it is damaged or of another version.
    """
    path = folder / FORMAT_FILE
    try:
        content = strict_object(read_own(path, MOST_JSON))
        if content.get("format") != FORMAT:
            raise CacheError(
                f"{path}: format {str(content.get('format'))[:20]}, this version reads {FORMAT}; remove the folder and run "
                "`ichseq cache-tiles` again",
                path=path,
            )
        return TileFormat.model_validate(unsealed(content))
    except FileNotFoundError:
        raise CacheError(f"{folder}: no tile cache here; run `ichseq cache-tiles` first", path=folder) from None
    except (DamagedError, ValidationError) as error:
        why = error if isinstance(error, DamagedError) else "its fields"
        raise CacheError(
            f"{path}: damaged ({why}); remove the folder and run `ichseq cache-tiles` again", path=path
        ) from error


def write_format(folder: Path, form: TileFormat) -> None:
    """Says in `folder` what its tiles are.

    Raises:
        OutputError: it cannot be written.
    """
    write_json(folder / FORMAT_FILE, sealed(form.model_dump(mode="json")))


def part_identity(form: TileFormat, slices: pd.DataFrame) -> str:
    """SHA-256 over the tiles' format and which slices these are, in order; the pixels are not read for it."""
    return hashlib.sha256((form.identity + slices[KEY].to_csv(index=False)).encode()).hexdigest()


def part_paths(folder: Path) -> list[Path]:
    """The parts in `folder` by name; links, and files whose name is not 64 hexadecimal digits, are none."""
    with output_errors(folder):
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
        write_attribute(file, "identity", identity)
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
        columns = _columns(slices.assign(unreadable=reasons))
        write_attribute(file, DIGEST, digest_of(columns, {"identity": identity}))
        file.create_dataset("slice_index", data=columns["slice_index"])
        for name in _TEXTS:
            write_texts(file, name, list(columns[name]))
    return [reason for reason in reasons if reason]


def read_slices(path: Path, form: TileFormat) -> pd.DataFrame:
    """Which slices a part holds, in its order: KEY, and in `unreadable` why a slice has no tile, or nothing.

    Raises:
        CacheError: damaged, of other slices or another format than its name says, or with data stored elsewhere.
    """
    try:
        open_own(path, _MOST_BYTES).close()
        with h5py.File(path, "r", locking=False) as file:
            count = len(_tiles(file, path, form))
            check_members(file, ("tiles", "slice_index", *_TEXTS), ("identity", DIGEST))
            slices = pd.DataFrame({name: read_texts(file, name, count) for name in _TEXTS}, dtype="str")
            index = read_array(file, "slice_index", np.int64, (count,))
            slices.insert(2, "slice_index", index.astype(np.int32))
            if attribute(file, DIGEST) != digest_of(_columns(slices), {"identity": path.stem}):
                raise DamagedError("changed since it was written (its SHA-256 does not fit)")
            _check_stored(own_chunked(file, "tiles"), (slices["unreadable"] == "").to_numpy())
    except UNUSABLE as error:
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
        open_own(path, _MOST_BYTES).close()
        return _tiles(h5py.File(path, "r", locking=False, rdcc_nbytes=0), path, form)
    except UNUSABLE as error:
        raise _unusable(path, error) from error


def read_tile(tiles: h5py.Dataset, row: int, path: Path) -> UInt8[np.ndarray, "c size size"]:
    """One tile of `path`; its checksum is verified.

    Raises:
        CacheError: damaged.
    """
    try:
        return tiles[row]
    except UNUSABLE as error:
        raise _unusable(path, error) from error


def _tiles(file: h5py.File, path: Path, form: TileFormat) -> h5py.Dataset:
    if attribute(file, "identity") != path.stem:
        raise DamagedError("its identity is not its name")
    tiles = own_chunked(file, "tiles")
    if tiles.ndim != 4 or tiles.shape[1:] != form.shape or not 0 < len(tiles) <= _MOST_SLICES:
        raise DamagedError(f"tiles has shape {tiles.shape}, not slices x {form.shape}")
    filters = tiles.id.get_create_plist().get_nfilters()
    if tiles.dtype != np.uint8 or tiles.chunks != (1, *form.shape) or not tiles.fletcher32 or filters != _FILTERS:
        raise DamagedError("tiles is not stored as one checked chunk of bytes a slice")
    return tiles


def _check_stored(tiles: h5py.Dataset, is_there: np.ndarray) -> None:
    """Each tile was written, since HDF5 reads others as zeros, and is no longer than it inflates to; once a part, 2 us a tile."""
    stored = np.zeros(len(tiles), np.int64)

    def see(chunk: h5py.h5d.StoreInfo) -> None:
        stored[chunk.chunk_offset[0]] = chunk.size

    tiles.id.chunk_iter(see)
    if (stored[is_there] == 0).any():
        raise DamagedError("a tile was never written")
    if (longest := int(stored.max())) > (most := math.prod(tiles.shape[1:]) + _SPARE):
        raise DamagedError(f"a tile is stored in {longest:,} bytes, more than it has ({most:,}): it would inflate")


def _columns(slices: pd.DataFrame) -> dict[str, np.ndarray | list[str]]:
    texts = {name: [str(text) for text in slices[name]] for name in _TEXTS}
    return {**texts, "slice_index": slices["slice_index"].to_numpy(np.int64)}


def _unusable(path: Path, why: object) -> CacheError:
    return CacheError(
        f"{path}: this part of the tile cache cannot be used ({why}); remove the file and run `ichseq cache-tiles` again",
        path=path,
    )
