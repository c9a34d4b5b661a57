"""A file that is written again for each input."""

import os
import tempfile
from functools import cache
from pathlib import Path


@cache
def _home() -> tempfile.TemporaryDirectory[str]:
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


def scratch_file(name: str, data: bytes) -> Path:
    """The file of this name with these bytes."""
    path = Path(_home().name) / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path
