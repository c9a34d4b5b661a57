"""What computes a bundle, in a table of choices; and torch in bf16 from the command to the result."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from dicom_factory import make_series
from tiny_ensemble import write_tiny_ensemble
from tiny_model import load_tiny_model, write_tiny_model

from ich_seq.cli import main
from ich_seq.errors import UsageError
from ich_seq.model import runtime
from ich_seq.model.bundle import BundleInfo, read_bundle
from ich_seq.model.exported import Exported, GraphDigests
from ich_seq.model.runtime import FASTEST, WITH_TORCH, Compute, choose
from ich_seq.model.torch_backend import TorchModel
from ich_seq.study.model import load_model
from ich_seq.study.result import StudyResult
from ich_seq.study.score import score_study
from ich_seq.training import compute
from ich_seq.training.compute import inference_precision, resolve_device

IN_BF16 = 0.002
"""Of a probability of the tiny model, whose logits hardly vary, by bf16; measured: 0.0001."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and a scan."""
    base = tmp_path_factory.mktemp("made")
    write_tiny_model(base / "model")
    make_series(base / "scan", slices=11)
    return base


@pytest.fixture
def bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch computes in bf16 on any processor, slowly where it has to make it of fp32; only our refusal has to be kept away."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


@pytest.fixture
def info(made: Path) -> BundleInfo:
    return read_bundle(made / "model").info


def exported(info: BundleInfo) -> BundleInfo:
    graphs = dict.fromkeys(("window", "slices", "scan"), GraphDigests(xml_sha256="0" * 64, bin_sha256="0" * 64))
    found = Exported.model_validate(
        {"ichseq_version": "1", "openvino_version": "1", "graphs": graphs, "largest_difference": 0.0}
    )
    return info.model_copy(update={"exported": found})


def on_a_machine(monkeypatch: pytest.MonkeyPatch, gpu: str) -> None:
    """One without a GPU, or with an `old` one, which does not multiply bf16, or a `new` one; the processor multiplies it."""
    monkeypatch.setattr(runtime, "gpu_is_here", lambda: gpu != "none")
    monkeypatch.setattr(runtime, "machine_has_bf16", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu != "none")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 * (gpu != "none"))
    monkeypatch.setattr(compute, "_card_has_bf16", lambda device: gpu == "new")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


TABLE = [
    # the machine's GPU, whether exported; runtime, precision, device asked for -> what computes, in what
    ("none", False, ("auto", "auto", "auto"), "torch fp32"),
    ("none", False, ("torch", "auto", "auto"), "torch fp32"),
    ("none", False, ("auto", "bf16", "cpu"), "torch bf16"),
    ("none", False, ("torch", "bf16", "auto"), "torch bf16"),
    ("none", True, ("auto", "auto", "auto"), "openvino bf16"),
    ("none", True, ("auto", "bf16", "auto"), "openvino bf16"),
    ("none", True, ("torch", "bf16", "cpu"), "torch bf16"),
    ("none", True, ("torch", "auto", "cpu"), "torch fp32"),
    ("none", True, ("auto", "auto", "cuda:1"), "torch fp32"),
    ("new", True, ("auto", "auto", "auto"), "torch bf16"),
    ("new", True, ("auto", "fp32", "auto"), "torch fp32"),
    ("new", True, ("auto", "auto", "cuda:1"), "torch bf16"),
    ("new", True, ("auto", "auto", "cpu"), "openvino bf16"),
    ("new", True, ("auto", "int8", "auto"), "openvino int8"),
    ("new", True, ("openvino", "auto", "auto"), "openvino bf16"),
    ("new", False, ("torch", "bf16", "cuda"), "torch bf16"),
    ("new", False, ("auto", "auto", "cpu"), "torch fp32"),
    ("old", True, ("auto", "auto", "auto"), "torch fp32"),
    ("old", True, ("auto", "bf16", "auto"), "openvino bf16"),
]


@pytest.mark.parametrize(("gpu", "has_graphs", "asked", "found"), TABLE)
def test_what_computes_and_in_which_precision(
    info: BundleInfo, monkeypatch: pytest.MonkeyPatch, gpu: str, has_graphs: bool, asked, found: str
) -> None:
    on_a_machine(monkeypatch, gpu)
    choice = choose(Path("model"), exported(info) if has_graphs else info, *asked)
    assert f"{choice.runtime} {choice.precision}" == found
    assert choice.device == (asked[2] if choice.runtime == "torch" else "cpu")


@pytest.mark.parametrize(
    ("gpu", "has_graphs", "asked", "match"),
    [
        (
            "none",
            True,
            ("torch", "int8", "cpu"),
            "int8 needs OpenVINO on the processor.*leave --runtime and --device out",
        ),
        ("new", True, ("auto", "int8", "cuda"), "int8 needs OpenVINO on the processor"),
        ("none", False, ("auto", "int8", "auto"), "make the graphs with `ichseq export --model model`"),
        ("old", False, ("auto", "bf16", "auto"), "this GPU does not multiply bf16; use fp32 or auto"),
        ("old", True, ("auto", "bf16", "cuda"), "this GPU does not multiply bf16"),
        ("none", True, ("torch", "bf16", "cuda"), "torch sees no GPU here; use --device cpu"),
    ],
)
def test_what_cannot_be_is_refused(
    info: BundleInfo, monkeypatch: pytest.MonkeyPatch, gpu: str, has_graphs: bool, asked, match: str
) -> None:
    on_a_machine(monkeypatch, gpu)
    with pytest.raises(UsageError, match=match):
        choose(Path("model"), exported(info) if has_graphs else info, *asked)


def test_a_processor_without_bf16_refuses_it_as_openvino_does(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    words = ["score-study", str(made / "scan"), "--model", str(made / "model"), "--out", str(made / "none")]
    done = CliRunner().invoke(main, [*words, "--runtime", "torch", "--precision", "bf16", "--device", "cpu"])
    assert done.exit_code == 2
    assert "this processor does not multiply bf16; use fp32 or auto" in done.stderr
    assert not (made / "none").exists()


def test_what_asks_for_no_precision_is_the_reference_in_fp32() -> None:
    """Evaluations of bundles, explanations and ensembles are made with it, on whatever device."""
    assert (WITH_TORCH.runtime, WITH_TORCH.precision) == ("torch", "fp32")
    assert (FASTEST.runtime, FASTEST.precision) == ("auto", "auto")


@pytest.mark.usefixtures("bf16")
def test_a_study_scored_in_bf16_says_so_and_is_close_to_fp32(made: Path, tmp_path: Path) -> None:
    words = ["score-study", str(made / "scan"), "--model", str(made / "model"), "--device", "cpu", "--jobs", "1"]
    done = CliRunner().invoke(main, [*words, "--out", str(tmp_path), "--precision", "bf16"])
    assert done.exit_code == 0, done.stderr
    assert "torch in bf16 on cpu" in done.stdout
    result = StudyResult.model_validate_json((tmp_path / "result.json").read_text())
    assert result.computed is not None
    assert (result.computed.runtime, result.computed.precision, result.computed.device) == ("torch", "bf16", "cpu")
    reference = score_study(made / "scan", load_tiny_model(made / "model"))
    one, two = (
        np.array([list(each.model_dump().values()) for row in found.slices for each in (row.stage_one, row.stage_two)])
        for found in (reference, result)
    )
    assert 0 < np.abs(one - two).max() <= IN_BF16


@pytest.mark.usefixtures("bf16")
def test_only_the_trunk_is_in_bf16_and_fp32_is_what_it_was(made: Path) -> None:
    model = TorchModel(read_bundle(made / "model"), "cpu", "bf16")
    for rest in (model.cnn.preprocess, model.cnn.neck, model.cnn.head, model.lstm):
        assert {tensor.dtype for tensor in rest.state_dict().values()} <= {torch.float32}
    assert {tensor.dtype for tensor in model.cnn.backbone.state_dict().values()} == {torch.bfloat16}
    plain = load_tiny_model(made / "model")
    assert plain.precision == "fp32"
    weights = read_bundle(made / "model").part("cnn")
    assert all(np.array_equal(tensor.numpy(), weights[name]) for name, tensor in plain.cnn.state_dict().items())


@pytest.mark.usefixtures("bf16")
def test_members_of_an_ensemble_compute_in_the_precision_that_was_asked_for(made: Path, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "other", size=48)
    write_tiny_ensemble(tmp_path / "both", [made / "model", tmp_path / "other"])
    both = load_model(tmp_path / "both", Compute("cpu", 1, "torch", "bf16"))
    assert (both.runtime, both.precision) == ("torch", "bf16")
    assert [member.precision for member in both.members] == ["bf16", "bf16"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["cuda:x", "gpu", "cuda:", "cpu:0", "mps", ""])
def test_what_is_no_device_is_said_before_anything_is_loaded(name: str) -> None:
    with pytest.raises(ValueError, match="use cpu, cuda or cuda:N"):
        resolve_device(name)


def test_a_gpu_beyond_the_last_one_is_said(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == "cuda:1"
    with pytest.raises(ValueError, match=r"torch sees 2 GPU\(s\), counted from cuda:0"):
        resolve_device("cuda:2")
    with pytest.raises(UsageError, match=r"torch sees 2 GPU\(s\)"):
        inference_precision("bf16", "cuda:7")
