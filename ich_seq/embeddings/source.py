"""What a series' part is made from, told without reading a pixel."""

import hashlib
from pathlib import Path

import pandas as pd

from ich_seq.manifest.table import slice_places


def source_of(extractor: str, rows: pd.DataFrame, root: Path) -> str:
    """SHA-256 over what a series' part is made from, unread: extractor, identifiers, positions, files' sizes and times."""
    digest = hashlib.sha256(extractor.encode())
    for column in ("series_instance_uid", "sop_instance_uid", "path"):
        digest.update("\n".join(rows[column].astype(str)).encode())
    digest.update(rows[["position_mm", "slice_index"]].to_numpy("float64").tobytes())
    for path in dict.fromkeys(path for path, _ in slice_places(rows, root)):
        try:
            facts = path.stat()
            digest.update(f"{facts.st_size} {facts.st_mtime_ns}".encode())
        except OSError:
            digest.update(b"absent")
    return digest.hexdigest()
