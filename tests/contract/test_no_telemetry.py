"""Libraries that send events when they are imported are imported where they cannot: read from every module's syntax tree."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "ich_seq"
SENDERS = {"openvino", "nncf"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def bare_imports(source: str) -> list[int]:
    """Lines that import a sender outside `with no_telemetry():`; what only a type checker reads does not count."""
    found: list[int] = []

    def walk(node: ast.AST, hidden: bool) -> None:
        if isinstance(node, ast.With):
            hidden = hidden or any(ast.unparse(item.context_expr) == "no_telemetry()" for item in node.items)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if not hidden and any(name.partition(".")[0] in SENDERS for name in names):
            found.append(node.lineno)  # type: ignore[attr-defined]
        for child in ast.iter_child_nodes(node):
            walk(child, hidden)

    walk(ast.parse(source), False)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_senders_are_imported_where_they_cannot_send(path: Path) -> None:
    assert bare_imports(path.read_text(encoding="utf-8")) == []


def test_the_check_sees_what_it_looks_for() -> None:
    assert bare_imports("def f():\n    import openvino as ov") == [2]
    assert bare_imports("from nncf.quantization import x") == [1]
    assert bare_imports("with no_telemetry():\n    import openvino") == []
