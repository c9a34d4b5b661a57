"""What every test may use: the real DICOM files where they are, and run-time checks of every shape in a signature."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

PROJECT = Path(__file__).resolve().parent.parent

_hook = install_import_hook(
    [
        ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        for path in (PROJECT / "ich_seq").rglob("*.py")
        if "from jaxtyping import" in path.read_text(encoding="utf-8")
    ],
    "shape_checks.checker",
)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real DICOM files; a test that needs it is skipped, saying so, where it is absent."""
    folder = Path(os.environ.get("ICHSEQ_REAL_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"missing real data: no folder {folder}; set ICHSEQ_REAL_DATA")
    return folder.resolve()
