"""The wheel, installed into an empty environment and run from another folder."""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tiny_model import write_tiny_model

PROJECT = Path(__file__).resolve().parents[2]
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
_NOT_PASSED_ON = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
"""Without the last, the first command keeps torch's modules compiled for those after it."""

EXTRAS = {"dask", "distributed", "highdicom", "nncf", "onnx", "onnxscript", "tensorboard"}


def call(*words: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in _NOT_PASSED_ON}
    done = subprocess.run(list(map(str, words)), cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    call(UV, "build", "--quiet", "--wheel", "--out-dir", out, PROJECT, cwd=out)
    return next(out.glob("*.whl"))


def test_configs_manifests_templates_and_schema_travel_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("configs", "data_manifests"):
        for path in (PROJECT / folder).glob("*.toml"):
            assert f"ich_seq/{folder}/{path.name}" in names
    for path in (PROJECT / "ich_seq").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert path.relative_to(PROJECT).as_posix() in names
    assert not [name for name in names if name.startswith("tests/")]


@pytest.fixture(scope="module")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment with the wheel and what it asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    call(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    python, pins = folder / "venv" / "bin" / "python", PROJECT / "requirements.txt"
    call(UV, "pip", "install", "--quiet", "--python", python, "--constraint", pins, wheel, cwd=folder)
    return python.parent


def test_every_library_that_is_imported_comes_with_the_wheel(empty: Path, tmp_path: Path) -> None:
    """But for those of extras, which ask for themselves when they are missing."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (PROJECT / "ich_seq").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    wanted = sorted({name.partition(".")[0] for name in names} - EXTRAS)
    ask = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n) is None])"
    assert len(wanted) > 20
    assert call(empty / "python", "-c", ask, *wanted, cwd=tmp_path) == "[]\n"


def test_it_scores_a_study_from_an_empty_environment(empty: Path, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    score(empty / "ichseq", "model", tmp_path)


@pytest.mark.campaign
def test_it_runs_the_demo_from_an_empty_environment(empty: Path, tmp_path: Path) -> None:
    assert "Weighted loss" in call(empty / "ichseq", "demo", "--quick", "--run", "run", cwd=tmp_path)
    score(empty / "ichseq", "run/model", tmp_path)


def score(ichseq: Path, model: str, elsewhere: Path) -> None:
    """A phantom of the wheel's own, scored; nothing of the project's folder is in reach."""
    one_scan = elsewhere / "scan"
    call(ichseq, "phantom", "--out", one_scan, "--studies", "1", "--slices", "20", "--seed", "5", cwd=elsewhere)
    call(ichseq, "score-study", one_scan, "--model", model, "--out", "scored", cwd=elsewhere)
    assert (elsewhere / "scored" / "report.html").is_file()
    assert (elsewhere / "scored" / "result.json").is_file()
