"""HDF5 files and a full disk: the kernel's own refusal, in a process of its own, since the library used to crash there."""

import subprocess
import sys
from pathlib import Path

import pytest

PART = """
import sys
import numpy as np
from pathlib import Path
from ich_seq.embeddings.part import SeriesFeatures, write_part
wide = np.ones((40, 2048), np.float16)
found = SeriesFeatures("1.2", tuple(f"1.2.{k}" for k in range(40)), np.arange(40.0), wide, np.zeros((40, 6), np.float32))
write = lambda folder: write_part(folder, "0" * 64, found)
"""
TILES = """
import sys
import numpy as np, pandas as pd
from pathlib import Path
from ich_seq.config import PreprocessConfig
from ich_seq.slices.tile_part import TileFormat, write_part
form = TileFormat.of(PreprocessConfig(size=128))
names = [f"1.2.{k}" for k in range(9)]
slices = pd.DataFrame({"sop_instance_uid": names, "path": names, "slice_index": np.full(9, -1, np.int32)})
noise = np.random.default_rng(0).integers(0, 255, (9, 3, 128, 128)).astype(np.uint8)
write = lambda folder: write_part(folder, form, slices, iter(noise))
"""
REDUCED = (
    PART
    + """
from ich_seq.embeddings.cache import write_index
from ich_seq.embeddings.pca import Pca
from ich_seq.embeddings.reduced import write_reduced
cache = write_index(write(Path(sys.argv[1]) / "parts").parents[1], "e" * 64, ["0" * 64])
axes = Pca(np.zeros(2048, np.float32), np.eye(120, 2048, dtype=np.float32), np.ones(120, np.float32))
write = lambda folder: write_reduced(cache, axes)
"""
)
LIMITED = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
from ich_seq.errors import OutputError
try:
    write(Path(sys.argv[1]))
except OutputError as error:
    print(error.exit_code, error.message)
"""


@pytest.mark.parametrize("writer", [PART, TILES, REDUCED], ids=["embeddings", "tiles", "coordinates"])
def test_a_file_that_does_not_fit_is_one_error_and_leaves_nothing(writer: str, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", writer + LIMITED, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("5 ")
    assert "limit on the size of a file" in done.stdout
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left <= {"index.json", f"{'0' * 64}.h5"}, left  # what was whole before
    assert writer == REDUCED or not left
