"""Every code of reading is asserted by at least one test; found in the tests' own syntax trees, so a comment does not count."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ich_seq.dicom import Code

TESTS = Path(__file__).resolve().parents[1]


def asserting_nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """What decides whether a test passes.

    That is: assert statements, calls of pytest's `raises` and `warns`, the values that parametrize gives a test, and the values of
    module-level names that one of these uses.
    """
    deciding: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) or (isinstance(node, ast.Call) and _calls_pytest(node, ("raises", "warns"))):
            deciding.append(node)
        elif isinstance(node, ast.FunctionDef):
            deciding += [d for d in node.decorator_list if _calls_pytest(d, ("parametrize",))]
    yield from deciding
    used = {name.id for node in deciding for name in ast.walk(node) if isinstance(name, ast.Name)}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id in used for target in targets):
            yield node


def codes_of(tree: ast.Module) -> set[Code]:
    """The codes that a file's tests assert: by value in a string, or as a member of `Code`."""
    texts, members = [], set()
    for root in asserting_nodes(tree):
        for node in ast.walk(root):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] == "Code":
                members.add(node.attr)
    words = set(re.findall(r"(?<![A-Z0-9-])[EDWN](?:-[A-Z0-9]+)+(?![A-Z0-9-])", "\n".join(texts)))
    return {code for code in Code if code.value in words or code.name in members}


def _calls_pytest(node: ast.AST, names: tuple[str, ...]) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in names


def test_each_code_has_a_test_that_asserts_it() -> None:
    asserted: set[Code] = set()
    for path in TESTS.rglob("test_*.py"):
        if path != Path(__file__).resolve():
            asserted |= codes_of(ast.parse(path.read_text(encoding="utf-8")))
    untested = sorted(code.value for code in Code if code not in asserted)
    assert not untested, f"codes without a test: {', '.join(untested)}"


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ("def test_x(): assert found == {'W-SLICE-GAP'}", {"W-SLICE-GAP"}),
        ("def test_x(): assert found == [Code.W_SLICE_GAP]", {"W-SLICE-GAP"}),
        ("def test_x(): assert 'E-NO-CT: no image' in text", {"E-NO-CT"}),
        ("def test_x():\n with pytest.raises(Error, match='E-NO-CT'): read()", {"E-NO-CT"}),
        ("@pytest.mark.parametrize('code', ['E-LEAK'])\ndef test_x(code): pass", {"E-LEAK"}),
        ("FAULTS = {drop: 'W-SLICE-GAP'}\n@pytest.mark.parametrize('f', FAULTS)\ndef test_x(f): pass", {"W-SLICE-GAP"}),
        ("IDLE = 'W-SLICE-GAP'\ndef test_x(): assert found == 1", set()),
        ("def test_x():\n '''W-SLICE-GAP'''\n found = 'E-NO-CT'  # W-SLICE-GAP", set()),
        ("def test_x(): assert 'E-NO-CT-AT-ALL' in text", set()),
    ],
)
def test_a_code_counts_only_where_a_test_depends_on_it(source: str, values: set[str]) -> None:
    assert {code.value for code in codes_of(ast.parse(source))} == values


def test_every_code_that_the_package_names_is_in_the_enumeration() -> None:
    """Codes that stand in the package's strings, error messages of labels among them, are members."""
    named: dict[str, str] = {}
    for path in (TESTS.parent / "ich_seq").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for word in re.findall(r"(?<![A-Za-z0-9-])[EDWN](?:-[A-Z0-9]{2,}){2,}(?![A-Za-z0-9-])", node.value):
                    named[word] = path.name
    unknown = {word: file for word, file in named.items() if word not in {code.value for code in Code}}
    assert unknown == {}
