"""The house of the design, read from the code's own imports."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "ich_seq"
ORDER = (
    *(
        "errors",
        "files",
        "distrust",
        "tensors",
        "hdf5",
        "pools",
        "labels",
        "config",
        "metrics",
        "calibration",
        "thresholds",
        "combining",
        "dicom",
        "volume",
        "nifti",
        "phantom",
        "manifest",
        "training",
        "slices",
    ),
    *("embeddings", "sequence", "model", "study", "segmentation", "evaluation", "report", "service", "cli"),
)
ROOMS_OF = {
    "pydicom": {"dicom", "phantom", "report", "service"},
    "h5py": {"hdf5", "embeddings", "slices"},
    "pandas": set(ORDER)
    - {
        "errors",
        "distrust",
        "tensors",
        "hdf5",
        "pools",
        "labels",
        "config",
        "metrics",
        "calibration",
        "thresholds",
        "combining",
        "dicom",
        "volume",
        "nifti",
        "report",
    },
    "torch": set(ORDER)
    - {
        "errors",
        "files",
        "distrust",
        "tensors",
        "hdf5",
        "pools",
        "labels",
        "config",
        "metrics",
        "calibration",
        "thresholds",
        "combining",
        "dicom",
        "volume",
        "nifti",
    }
    - {"phantom", "manifest", "report"},
    "matplotlib": {"phantom", "report"},
    "rich": {"cli"},
    "click": {"cli"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The first part of a module's name inside the package: a folder or a single module."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> list[tuple[str, int]]:
    """Every module imported anywhere in a file, with its line; relative imports do not occur (checked below)."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
    return found


def test_every_room_is_in_the_order() -> None:
    rooms = {room_of(path) for path in MODULES} - {"__init__", "__main__"}
    assert rooms <= set(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_its_own_room_and_those_to_its_left(path: Path) -> None:
    room = room_of(path)
    allowed = set(ORDER) if room in ("__init__", "__main__") else {*ORDER[: ORDER.index(room) + 1], "__version__"}
    wrong = [
        f"line {line}: {name}"
        for name, line in imports_of(path)
        if name.startswith("ich_seq.") and name.split(".")[1] not in allowed
    ]
    assert not wrong, f"{path.relative_to(PACKAGE)} reaches to the right: {wrong}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_library_stays_in_its_rooms(path: Path) -> None:
    room = room_of(path)
    wrong = [
        f"line {line}: {name}"
        for name, line in imports_of(path)
        if name.split(".")[0] in ROOMS_OF and room not in ROOMS_OF[name.split(".")[0]]
    ]
    assert not wrong, f"{path.relative_to(PACKAGE)} uses {wrong}"
