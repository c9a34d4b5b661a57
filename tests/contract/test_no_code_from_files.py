"""No file can make the package run code: read from every module's syntax tree.

What multiprocessing does between our own processes is its own affair; it is not in these trees.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "ich_seq"
MODULES = sorted(PACKAGE.rglob("*.py"))
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "joblib",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
    "yaml",
    "jsonpickle",
}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__", "execfile"}
FORBIDDEN_CALLS = {
    *(
        "np.load",
        "numpy.load",
        "os.system",
        "os.popen",
        "torch.jit.load",
        "torch.hub.load",
        "torch.package.PackageImporter",
    ),
    *("runpy.run_path", "runpy.run_module", "torch.serialization.add_safe_globals"),
}
FORBIDDEN_METHODS = {"read_pickle", "to_pickle", "unsafe_load", "full_load", "exec_module", "load_module"}
TORCH_LOAD = {
    "slices/weights.py": "_published_state",
    "training/checkpoint.py": "load_checkpoint",
}
"""The two places of torch.load, and the functions that they are in."""


def faults_of(source: str) -> Iterator[str]:
    """What in a module could run code from a file; torch.load is looked at apart."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (f"import {alias.name}" for alias in node.names if _root(alias.name) in FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom) and _root(node.module or "") in FORBIDDEN_MODULES:
            names = [alias.name for alias in node.names]
            if names != ["UnpicklingError"]:  # what torch.load raises of a file that asks for more than tensors
                yield f"from {node.module} import {', '.join(names)}"
        elif isinstance(node, ast.Call):
            yield from _faults_of_call(node)


def _faults_of_call(node: ast.Call) -> Iterator[str]:
    called = ast.unparse(node.func)
    name = called.rpartition(".")[2]
    options = {word.arg: word.value for word in node.keywords}
    if called in FORBIDDEN_NAMES or called.startswith("builtins.") or name in FORBIDDEN_METHODS:
        yield called
    if called in FORBIDDEN_CALLS:
        yield called
    for option in ("allow_pickle", "shell"):
        if option in options and ast.unparse(options[option]) != "False":
            yield f"{called}({option}=...)"
    if name in ("getattr", "import_module") and any(
        isinstance(word, ast.Constant) and word.value in FORBIDDEN_MODULES | FORBIDDEN_NAMES for word in node.args
    ):
        yield ast.unparse(node)


def _root(module: str) -> str:
    return module.partition(".")[0]


def torch_loads(source: str) -> list[tuple[str, str]]:
    """Each use of `torch.load`, called or not: the function that it stands in, and how it is called."""
    found = []
    for function in [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]:
        calls = {id(node.func): node for node in ast.walk(function) if isinstance(node, ast.Call)}
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("torch.load", "torch.serialization.load"):
                call = calls.get(id(node))
                found.append((function.name, "not called" if call is None else ast.unparse(call)))
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_can_run_code_from_a_file(path: Path) -> None:
    assert list(faults_of(path.read_text(encoding="utf-8"))) == []


def test_torch_load_stands_in_two_places_and_takes_plain_tensors_only() -> None:
    found = {}
    for path in MODULES:
        source = path.read_text(encoding="utf-8")
        name, uses = path.relative_to(PACKAGE).as_posix(), torch_loads(source)
        named = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute | ast.ImportFrom)]
        assert sum(ast.unparse(node) in ("torch.load", "from torch import load") for node in named) == len(uses), name
        for function, call in uses:
            assert "weights_only=True" in call, f"{name}: {call}"
            assert name not in found, f"{name}: torch.load twice"
            found[name] = function
    assert found == TORCH_LOAD


@pytest.mark.parametrize(
    ("name", "check"), [("slices/weights.py", "file_digest"), ("training/checkpoint.py", "_check")]
)
def test_what_torch_reads_has_shown_its_digest_before(name: str, check: str) -> None:
    """In the function that calls torch.load, the check stands before it, on the same open file."""
    tree = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
    (function,) = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == TORCH_LOAD[name]
    ]
    calls = [(node.lineno, node) for node in ast.walk(function) if isinstance(node, ast.Call)]
    (loaded,) = [(line, node) for line, node in calls if ast.unparse(node.func) == "torch.load"]
    (checked,) = [(line, node) for line, node in calls if ast.unparse(node.func).rpartition(".")[2] == check]
    assert checked[0] < loaded[0]
    assert ast.unparse(checked[1].args[0]) == ast.unparse(loaded[1].args[0]) == "file"


@pytest.mark.parametrize(
    "source",
    [
        *("import pickle", "from pickle import loads, UnpicklingError", "import joblib.numpy_pickle", "import yaml"),
        *("eval('1')", "exec(text)", "compile(text, '', 'exec')", "pd.read_pickle(path)", "np.load(path)"),
        *("np.lib.format.read_array(file, allow_pickle=True)", "subprocess.run(text, shell=True)", "os.system(text)"),
        *("importlib.import_module('pickle')", "getattr(builtins, 'eval')", "torch.jit.load(path)", "import shelve"),
    ],
)
def test_the_check_sees_what_it_looks_for(source: str) -> None:
    assert list(faults_of(source))


@pytest.mark.parametrize("source", ["network.eval()", "re.compile('x')", "from pickle import UnpicklingError"])
def test_the_check_lets_pass_what_is_harmless(source: str) -> None:
    assert list(faults_of(source)) == []
