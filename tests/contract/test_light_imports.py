"""Commands that must answer at once load none of the heavy libraries; seen in sys.modules after a real run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dicom_factory import make_series
from nifti_copies import nifti_of
from tiny_model import write_tiny_model

HEAVY = {"torch", "torchvision", "pandas", "sklearn", "scipy", "matplotlib", "h5py"}
PROBE = """
import json, sys
from ich_seq.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print("\\n" + json.dumps({"code": end.code, "modules": sorted({name.split(".")[0] for name in sys.modules})}))
"""


def modules_after(*arguments: str, cwd: Path) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, cwd=cwd, check=True
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["code"] == 0, done.stdout + done.stderr
    return set(answer["modules"])


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_and_version_load_no_heavy_library(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert not modules_after(*arguments, cwd=tmp_path) & (HEAVY | {"numpy", "pydicom", "pydantic"})


def test_inspect_of_a_model_and_of_a_study_loads_no_heavy_library(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    make_series(tmp_path / "scan", slices=6)
    assert not modules_after("inspect", str(tmp_path / "model"), cwd=tmp_path) & HEAVY
    assert not modules_after("inspect", str(tmp_path / "scan"), cwd=tmp_path) & (HEAVY | {"nibabel"})
    nifti_of(tmp_path / "scan", tmp_path / "scan.nii.gz")
    # nibabel asks whether scipy is there, which loads scipy's own __init__ (8 ms) and nothing in it.
    assert not modules_after("inspect", str(tmp_path / "scan.nii.gz"), cwd=tmp_path) & (HEAVY - {"scipy"})


def test_check_and_codes_load_no_heavy_library(tmp_path: Path) -> None:
    make_series(tmp_path / "scan", slices=20)
    assert not modules_after("check", str(tmp_path / "scan"), cwd=tmp_path) & (HEAVY | {"nibabel", "safetensors"})
    assert not modules_after("codes", cwd=tmp_path) & HEAVY


def test_scoring_loads_neither_pandas_nor_scikit_learn_nor_scipy_nor_matplotlib(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    make_series(tmp_path / "scan", slices=6)
    words = ("score-study", str(tmp_path / "scan"), "--model", str(tmp_path / "model"), "--out", str(tmp_path / "out"))
    assert not modules_after(*words, "--jobs", "1", cwd=tmp_path) & {
        "pandas",
        "sklearn",
        "scipy",
        "matplotlib",
        "nibabel",
    }
