"""Tables as Parquet with a digest of their content, distrusted when read: nothing is expanded before its size is known."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from ich_seq.distrust import DamagedError, open_own

DIGEST = b"ichseq_sha256"
"""The key of the digest in the file's metadata; a table made elsewhere has none."""
MOST_ROWS = 20_000_000
"""RSNA's training images are 752,803."""
MOST_BYTES = 16_000_000_000
"""Of a table in memory; RSNA's takes 0.4 billion."""
_MOST_COLUMNS = 200
_BLOCK = 65_536


def content_digest(table: pd.DataFrame) -> str:
    """SHA-256 over names, types and values in order, as 64 hexadecimal digits; nothing of how they lie in a file counts."""
    digest = hashlib.sha256()
    for name in table:
        column = table[name]
        digest.update(f"{name} {column.dtype} {len(column)}\n".encode())
        if isinstance(column.dtype, np.dtype) and column.dtype != object:
            digest.update(np.ascontiguousarray(column.to_numpy()).data)
        else:
            _add_texts(digest, pa.array(column, pa.large_string(), from_pandas=True))
    return digest.hexdigest()


def _add_texts(digest: "hashlib._Hash", column: pa.Array | pa.ChunkedArray) -> None:
    for texts in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        lengths = pc.fill_null(pc.binary_length(texts), -1)  # type: ignore[attr-defined]
        digest.update(np.ascontiguousarray(lengths.to_numpy()).data)
    for texts in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        _, offsets, content = texts.buffers()
        first, last = np.frombuffer(offsets, np.int64)[[texts.offset, texts.offset + len(texts)]].tolist()
        if content is not None:
            digest.update(memoryview(content)[first:last])


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Writes the table with its digest and a checksum for each page."""
    content = pa.Table.from_pandas(table, preserve_index=False)
    metadata = (content.schema.metadata or {}) | {DIGEST: content_digest(table).encode()}
    parquet.write_table(content.replace_schema_metadata(metadata), path, write_page_checksum=True)


def read_parquet(path: Path) -> pd.DataFrame:
    """The table in a Parquet file; one of ours is seen to be unchanged.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedError: not Parquet, larger than any table, or changed since it was written.
    """
    try:
        with open_own(path, MOST_BYTES) as plain:
            file = parquet.ParquetFile(plain, page_checksum_verification=True)
            _check_declared(file)
            file = parquet.ParquetFile(
                plain, page_checksum_verification=True, read_dictionary=_texts(file.schema_arrow)
            )
            content = pa.Table.from_batches(_bounded(file), file.schema_arrow)
        plain_types = [_plain(field.type) for field in content.schema]
        schema = pa.schema([field.with_type(kind) for field, kind in zip(content.schema, plain_types, strict=True)])
        table = content.cast(schema.with_metadata(content.schema.metadata)).to_pandas()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, MemoryError) as error:
        if isinstance(error, DamagedError | FileNotFoundError):
            raise
        raise DamagedError(f"not a Parquet file: {' '.join(str(error).split())[:160]}") from error
    digest = (content.schema.metadata or {}).get(DIGEST)
    if digest is not None and digest != content_digest(table).encode():
        raise DamagedError("changed since it was written: its SHA-256 does not fit")
    del content
    pa.default_memory_pool().release_unused()  # else Arrow keeps for other tables what reading took
    return table


def _check_declared(file: parquet.ParquetFile) -> None:
    declared = file.metadata
    size = sum(declared.row_group(group).total_byte_size for group in range(declared.num_row_groups))
    if declared.num_rows > MOST_ROWS or declared.num_columns > _MOST_COLUMNS or size > MOST_BYTES:
        raise DamagedError(
            f"it declares {declared.num_rows:,} rows of {declared.num_columns} columns in {size:,} bytes, more than any table "
            f"({MOST_ROWS:,} rows, {_MOST_COLUMNS} columns, {MOST_BYTES:,} bytes)"
        )
    names = file.schema_arrow.names
    if len(set(names)) != len(names):
        raise DamagedError("a column stands twice")
    if odd := [field for field in file.schema_arrow if not _is_plain(_plain(field.type))]:
        raise DamagedError(f"column {odd[0].name} is {odd[0].type}, neither numbers nor texts")


def _texts(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]


def _is_plain(kind: pa.DataType) -> bool:
    kinds = pa.types
    is_number = kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind) or kinds.is_temporal(kind)
    return is_number or kinds.is_null(kind) or kinds.is_string(kind) or kinds.is_large_string(kind)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _bounded(file: parquet.ParquetFile) -> Iterator[pa.RecordBatch]:
    """The rows in blocks, texts as references to a dictionary: what they come to is counted before they are written out."""
    rows = total = 0
    for batch in file.iter_batches(batch_size=_BLOCK):
        rows += batch.num_rows
        total += sum(_bytes_of(column) for column in batch.columns)
        if rows > MOST_ROWS or total > MOST_BYTES:
            raise DamagedError(f"it inflates to more than any table holds ({MOST_ROWS:,} rows, {MOST_BYTES:,} bytes)")
        yield batch


def _bytes_of(column: pa.Array) -> int:
    if not pa.types.is_dictionary(column.type):
        return column.nbytes
    lengths = pc.take(pc.binary_length(column.dictionary), column.indices)  # type: ignore[attr-defined]
    return int(np.nansum(lengths.to_numpy(zero_copy_only=False))) + 8 * len(column)
