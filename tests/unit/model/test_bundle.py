"""The model bundle: what comes back, and what is refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tiny_model import write_tiny_model

from ich_seq.calibration import Calibration, Temperature, Uncalibrated
from ich_seq.config import CnnConfig
from ich_seq.errors import BundleError
from ich_seq.files import sha256_of
from ich_seq.model.bundle import read_bundle, read_info, sealed
from ich_seq.model.card import add_section, card_to_write, model_card
from ich_seq.model.torch_backend import TorchModel
from ich_seq.thresholds import Threshold, Thresholds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_model(tmp_path / "model")
    return tmp_path / "model"


def change_weights(folder: Path, name: str, values: np.ndarray | None) -> None:
    """Replaces one tensor (or drops it) and states the new digest, as a careless hand would."""
    weights = load_file(folder / "weights.safetensors")
    if values is None:
        del weights[name]
    else:
        weights[name] = values
    save_file(weights, folder / "weights.safetensors")
    content = json.loads((folder / "model.json").read_text())
    content["weights_sha256"] = sha256_of(folder / "weights.safetensors")
    (folder / "model.json").write_text(json.dumps(sealed(content)))


def test_a_bundle_is_three_files_none_a_pickle(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "model.json", "weights.safetensors"]


def test_what_is_read_computes_the_same_twice(folder: Path) -> None:
    hu = [np.random.default_rng(seed).uniform(-100, 200, (48, 40)).astype(np.float32) for seed in range(3)]
    first, second = (TorchModel(read_bundle(folder)).read_slices(hu) for _ in range(2))
    np.testing.assert_array_equal(first.prob, second.prob)
    np.testing.assert_array_equal(first.reduced, second.reduced)
    assert first.prob.shape == (3, 6)


def test_the_card_says_it_is_research_software_and_what_taught_it(folder: Path) -> None:
    card, info = (folder / "README.md").read_text(), read_info(folder)
    assert "not a medical device" in card
    assert info.trained_on.description in card


def test_a_flipped_bit_in_the_weights_is_refused(folder: Path) -> None:
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"weights\.safetensors: damaged or changed"):
        read_bundle(folder)


def test_weights_that_are_not_finite_are_refused_by_name(folder: Path) -> None:
    change_weights(folder, "lstm.head.bias", np.full(6, np.nan, np.float32))
    with pytest.raises(BundleError, match=r"lstm\.head\.bias holds NaN"):
        read_bundle(folder)


def test_a_tensor_of_another_shape_is_refused_by_name(folder: Path) -> None:
    change_weights(folder, "lstm.head.bias", np.zeros(7, np.float32))
    with pytest.raises(BundleError, match=r"lstm\.head\.bias does not fit model\.json"):
        TorchModel(read_bundle(folder))


def test_a_missing_part_is_refused_by_name(folder: Path) -> None:
    change_weights(folder, "pca.mean", None)
    with pytest.raises(BundleError, match="pca does not fit"):
        TorchModel(read_bundle(folder))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format_version": 2}, "bundle format 2, and this version reads 1; get a model"),
        ({"labels": ["any"]}, "its labels are any"),
        ({"surprise": 1}, "surprise: Extra inputs"),
        ({"embedding_width": -1}, "embedding_width"),
    ],
)
def test_a_model_json_that_does_not_fit_is_refused(folder: Path, change: dict, match: str) -> None:
    content = json.loads((folder / "model.json").read_text()) | change
    (folder / "model.json").write_text(json.dumps(sealed(content)))
    with pytest.raises(BundleError, match=match):
        read_info(folder)


@pytest.mark.parametrize(
    ("path", "value"), [(("preprocess", "windows", 0, "level"), 400.0), (("preprocess", "size"), 64), (("name",), "x")]
)
def test_a_model_json_that_was_changed_is_refused(folder: Path, path: tuple, value: object) -> None:
    content = json.loads((folder / "model.json").read_text())
    place = content
    for key in path[:-1]:
        place = place[key]
    assert place[path[-1]] != value
    place[path[-1]] = value
    (folder / "model.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match="changed since it was written"):
        read_info(folder)


@pytest.mark.parametrize(
    ("text", "match"), [("[" * 100_000, "not JSON"), ("[1]", "a JSON list, not an object"), ("\xff", "not JSON")]
)
def test_a_model_json_that_is_no_description_is_refused(folder: Path, text: str, match: str) -> None:
    (folder / "model.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=match):
        read_info(folder)


def test_a_network_that_this_version_does_not_know_makes_the_bundle_unusable(folder: Path) -> None:
    content = json.loads((folder / "model.json").read_text())
    content["cnn"]["backbone"] = "foonet"
    (folder / "model.json").write_text(json.dumps(sealed(content)))
    with pytest.raises(BundleError, match=r"model\.json: .*no network 'foonet'.*get a model for this version"):
        TorchModel(read_bundle(folder))


def test_no_bundle_is_said_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"not a model bundle \(no model\.json\)"):
        read_info(tmp_path)
    with pytest.raises(BundleError, match="no model there"):
        read_info(tmp_path / "absent")


def test_the_digest_names_weights_and_description(folder: Path) -> None:
    before = read_info(folder).digest()
    change_weights(folder, "lstm.head.bias", np.ones(6, np.float32))
    assert read_info(folder).digest() != before


def test_one_slice_and_many_are_refined(folder: Path) -> None:
    model = TorchModel(read_bundle(folder))
    for slices in (1, 40):
        width = model.info.reduced_width
        refined = model.refine(np.zeros((slices, width), np.float32), np.full((slices, 6), 0.5, np.float32))
        assert refined.shape == (slices, 6)
        assert torch.isfinite(torch.from_numpy(refined)).all()


def half_and_thresholds() -> dict:
    """Every label's logit halved; one threshold for scans."""
    half = (Uncalibrated(reason="no validation scan is positive"), *(Temperature(factor=0.5) for _ in range(5)))
    calibration = Calibration(method="temperature", patients=4, scans=5, slices=6, of_slices=half, of_scans=half)
    point = Threshold(level="scan", label="any", rule="balanced", score=0.25, positives=2, negatives=3)
    sensitive = point.model_copy(update={"rule": "sensitive", "score": 0.125})
    return {"calibration": calibration, "thresholds": Thresholds(patients=4, points=(point, sensitive))}


def test_calibration_and_thresholds_are_in_the_bundle_sealed_and_on_the_card(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    bare = write_tiny_model(tmp_path / "bare")
    info = write_tiny_model(folder, **half_and_thresholds())
    assert read_info(folder) == info
    assert info.digest() != bare.digest()
    card = (folder / "README.md").read_text()
    assert (
        "fitted on 4 validation patients (5 scans, 6 slices). Not calibrated: epidural (no validation scan is positive)."
        in card
    )
    assert "any: balanced 0.250, sensitive 0.125; chosen on 2 positive and 3 other scans" in card
    assert "epidural: none, one class only among the validation scans" in card
    assert "not calibrated" in (tmp_path / "bare" / "README.md").read_text()
    content = json.loads((folder / "model.json").read_text())
    content["thresholds"]["points"][0]["score"] = 0.9
    (folder / "model.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match="changed since it was written"):
        read_info(folder)


def test_an_evaluation_on_the_card_is_replaced_by_the_same_ones_next_and_survives_a_rewrite(folder: Path) -> None:
    before = (folder / "model.json").read_bytes()
    for text in ("## first", "## second"):
        add_section(folder, "here", text)
    add_section(folder, "elsewhere", "## third")
    card = (folder / "README.md").read_text()
    assert "## first" not in card
    assert card.index("## second") < card.index("## third")
    assert (folder / "model.json").read_bytes() == before
    assert card_to_write(folder, read_info(folder)) == card
    other = read_info(folder).model_copy(update={"name": "another"})
    assert "## second" not in card_to_write(folder, other)


def test_a_card_says_what_outputs_mean_that_are_not_six_by_themselves(folder: Path) -> None:
    info = read_info(folder)
    assert "P(subtype)" not in model_card(info)
    two_step = info.model_copy(update={"cnn": CnnConfig(output="two_step")})
    assert "P(subtype) = P(any) x P(subtype | any)" in model_card(two_step)
