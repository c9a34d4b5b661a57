"""The wheel, installed into an empty environment and run from another folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
_NOT_PASSED_ON = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
"""Without the last, the first command keeps torch's modules compiled for those after it."""


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


def test_it_runs_the_demo_and_scores_a_study_from_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment, elsewhere = tmp_path / "environment", tmp_path / "elsewhere"
    elsewhere.mkdir()
    call(UV, "venv", "--quiet", "--python", sys.executable, environment, cwd=tmp_path)
    python = environment / "bin" / "python"
    pins = PROJECT / "requirements.txt"
    call(UV, "pip", "install", "--quiet", "--python", python, "--constraint", pins, wheel, cwd=tmp_path)
    ichseq = environment / "bin" / "ichseq"
    demo = call(ichseq, "demo", "--quick", "--run", "run", cwd=elsewhere)
    assert "Weighted loss" in demo
    one_scan = elsewhere / "scan"
    call(ichseq, "phantom", "--out", one_scan, "--studies", "1", "--slices", "20", "--seed", "5", cwd=elsewhere)
    call(ichseq, "score-study", one_scan, "--model", "run/model", "--out", "scored", cwd=elsewhere)
    assert (elsewhere / "scored" / "report.html").is_file()
    assert (elsewhere / "scored" / "result.json").is_file()
