"""The fault generator judges reading, so it must know nothing of how reading works."""

import ast
import sys
from pathlib import Path

import pytest

FAULTS = Path(__file__).resolve().parents[1] / "faults"


@pytest.mark.parametrize("path", sorted(FAULTS.glob("*.py")), ids=lambda path: path.stem)
def test_the_fault_generator_imports_pydicom_and_numpy_and_nothing_of_ours(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0}
    assert {name.split(".")[0] for name in imported} <= {"numpy", "pydicom", *sys.stdlib_module_names}
