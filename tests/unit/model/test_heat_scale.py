"""explain.json: the scale beside a model, distrusted when read, and no part of the model's name."""

import json
from pathlib import Path

import pytest
from heat_scales import plain_scale
from tiny_model import write_tiny_model

from ich_seq.errors import BundleError
from ich_seq.model.bundle import read_bundle, read_info
from ich_seq.model.heat_scale import SCALE_FILE, read_heat_scale


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_tiny_model(tmp_path / "model")
    return tmp_path / "model"


def test_a_scale_comes_back_and_changes_nothing_of_the_model(model: Path) -> None:
    before, files = read_info(model).digest(), {path.name: path.read_bytes() for path in model.iterdir()}
    scale = plain_scale(model, constant=0.25, threshold=0.5)
    assert read_heat_scale(model, read_info(model)) == scale
    assert read_bundle(model).info.digest() == before
    assert all((model / name).read_bytes() == content for name, content in files.items())


def test_a_model_without_a_scale_says_how_to_get_one(model: Path) -> None:
    with pytest.raises(BundleError, match="no scale for explanations.*ichseq explain-scale --model"):
        read_heat_scale(model, read_info(model))


def test_the_scale_of_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "other", reduced=4)
    plain_scale(tmp_path / "other")
    (model / SCALE_FILE).write_bytes((tmp_path / "other" / SCALE_FILE).read_bytes())
    with pytest.raises(BundleError, match="the scale of another model"):
        read_heat_scale(model, read_info(model))


@pytest.mark.parametrize(
    "harm", [lambda text: text[:-20], lambda text: text.replace("0.01", "0.02"), lambda text: "[]", lambda text: ""]
)
def test_a_damaged_scale_is_refused(model: Path, harm) -> None:
    plain_scale(model)
    path = model / SCALE_FILE
    path.write_text(harm(path.read_text()))
    with pytest.raises(BundleError, match="damaged"):
        read_heat_scale(model, read_info(model))


def test_a_constant_that_is_no_positive_number_is_refused(model: Path) -> None:
    from ich_seq.distrust import sealed

    plain_scale(model)
    content = json.loads((model / SCALE_FILE).read_text())
    content.pop("sha256")
    content["constants"][3]["constant"] = -1.0
    (model / SCALE_FILE).write_text(json.dumps(sealed(content)))
    with pytest.raises(BundleError, match="constants.3.constant"):
        read_heat_scale(model, read_info(model))
