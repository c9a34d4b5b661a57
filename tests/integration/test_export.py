"""A bundle exported by the command itself, then scored without torch: the same scores, nothing sent, every damage refused by name."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from dicom_factory import make_series, set_pixels
from safetensors.numpy import load_file, save_file
from tiny_model import write_tiny_model

from ich_seq.config import LstmConfig, PreprocessConfig
from ich_seq.errors import BundleError, InputRefusedError, ModelError, UsageError
from ich_seq.evaluation.precision import Gate, Limits, measure_precisions, rows_to_measure
from ich_seq.files import sha256_of
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.headers import read_headers
from ich_seq.manifest.table import PER_SLICE, read_table, write_table
from ich_seq.model.bundle import BundleInfo, read_bundle, read_info, sealed, write_info
from ich_seq.model.export import synthetic_slices, write_graph
from ich_seq.model.exported import GraphDigests
from ich_seq.model.openvino_backend import OpenVinoModel, machine_has_bf16
from ich_seq.model.runtime import choose
from ich_seq.model.telemetry import no_telemetry
from ich_seq.model.torch_backend import TorchModel

SIZE = 32
HEAVY = {"torch", "torchvision", "pandas", "sklearn", "scipy", "matplotlib", "h5py", "nncf", "onnx"}
PROBE = """
import json, sys
tried = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"):
        tried.append(event)
        raise PermissionError("no network")
sys.addaudithook(watch)
from ich_seq.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    modules = sorted({name.split(".")[0] for name in sys.modules})
    print("\\n" + json.dumps({"code": end.code, "tried": tried, "modules": modules}))
"""


@dataclass(frozen=True)
class Done:
    """One command in a process of its own: what it tried to reach, what it had loaded, what it left in an empty home folder."""

    tried: list[str]
    modules: set[str]
    at_home: list[str]


def run_watched(base: Path, *words: object) -> Done:
    home = base / "home"
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "NNCF", "CI"))}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *map(str, words)],
        capture_output=True,
        text=True,
        check=True,
        env={**kept, "HOME": str(home)},
        cwd=base,
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["code"] == 0, done.stdout + done.stderr
    return Done(answer["tried"], set(answer["modules"]), [str(path.relative_to(home)) for path in home.rglob("*")])


@dataclass(frozen=True)
class Exported:
    """A bundle as `ichseq export` left it, and how that went."""

    folder: Path
    before: BundleInfo
    done: Done


@dataclass(frozen=True)
class Table:
    """A table of slices and the folder of its images."""

    path: Path
    root: Path


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Table:
    """Four scans of four patients, each slice of its own HU, every other one labelled as a bleed."""
    root = tmp_path_factory.mktemp("images")
    splits = ("stage_one", "stage_two", "validation", "validation")
    for number in range(len(splits)):

        def edit(dataset, index, number=number):
            dataset.PatientID = f"P{number}"
            set_pixels(dataset, synthetic_slices([(64, 80)] * (index + number + 1))[-1])

        make_series(root, slices=10, edit=edit, uid_seed=f"scan{number}")
    found = read_headers(root, sorted(path.name for path in root.iterdir()), jobs=1).table
    split_of = dict(zip(sorted(found["patient_id"].unique()), splits, strict=True))
    bleeds = (np.arange(len(found)) % 2).astype(np.uint8)
    labels = {name: bleeds if name in ("subdural", "any") else np.zeros_like(bleeds) for name in LABEL_NAMES}
    whole = found.assign(dataset="made", **labels, labelled=PER_SLICE, split=found["patient_id"].map(split_of))
    kinds = {"dataset": "str", "labelled": "str", "split": "str"}
    path = root.parent / f"{root.name}.parquet"
    write_table(whole.astype(kinds), path)
    return Table(path, root)


@pytest.fixture(scope="module")
def exported(table: Table, tmp_path_factory) -> Exported:
    """Random weights, an antialiased resize, neighbours' deltas and the slice's place: all that changes the graphs' kind."""
    base = tmp_path_factory.mktemp("export")
    folder = base / "model"
    write_tiny_model(
        folder,
        size=SIZE,
        lstm=LstmConfig(hidden=8, layers=2, deltas=True, position=True),
        preprocess=PreprocessConfig(size=SIZE, antialias=True),
    )
    make_logits_wide(folder)
    before = read_info(folder)
    words = ("--table", table.path, "--root", table.root, "--int8", "--max-prob-change", 0.2, "--max-auc-drop", 1)
    few = ("--calibration-slices", 20, "--validation-scans", 2, "--jobs", 1, "--quiet")
    return Exported(folder, before, run_watched(base, "export", "--model", folder, *words, *few))


def make_logits_wide(folder: Path) -> None:
    """Ten times the head's weights: random ones give a half for every slice, where no difference would show."""
    weights = load_file(folder / "weights.safetensors")
    weights["cnn.head.weight"] *= 10
    save_file(weights, folder / "weights.safetensors")
    content = json.loads((folder / "model.json").read_text())
    content["weights_sha256"] = sha256_of(folder / "weights.safetensors")
    (folder / "model.json").write_text(json.dumps(sealed(content)))


@pytest.fixture
def copy(exported: Exported, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported.folder, tmp_path / "model"))


@pytest.fixture(scope="module")
def torch_model(exported: Exported) -> TorchModel:
    import torch

    torch.set_num_threads(1)
    return TorchModel(read_bundle(exported.folder))


@pytest.fixture(scope="module")
def openvino_model(exported: Exported) -> OpenVinoModel:
    return OpenVinoModel(exported.folder, read_info(exported.folder), "fp32", jobs=1)


def test_export_reaches_for_no_network_and_leaves_the_home_folder_empty(exported: Exported) -> None:
    assert "nncf" in exported.done.modules
    assert "openvino_telemetry" not in exported.done.modules
    assert exported.done.tried == []
    assert exported.done.at_home == []


def test_scoring_with_openvino_loads_no_heavy_library_sends_nothing_and_says_what_computed(
    exported: Exported, tmp_path: Path
) -> None:
    make_series(tmp_path / "scan", slices=20)
    before = sorted(path.relative_to(exported.folder) for path in exported.folder.rglob("*"))
    words = ("score-study", tmp_path / "scan", "--model", exported.folder, "--out", tmp_path / "out", "--device", "cpu")
    done = run_watched(tmp_path, *words, "--jobs", "1", "--quiet")
    assert not done.modules & HEAVY
    assert (done.tried, done.at_home) == ([], [])
    assert sorted(path.relative_to(exported.folder) for path in exported.folder.rglob("*")) == before
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["computed"] == {"runtime": "openvino", "precision": "int8", "device": "cpu"}
    assert "torch" not in result["versions"]
    assert result["model"]["digest"] == exported.before.digest()


@pytest.mark.parametrize("matrices", [[(64, 64)], [(SIZE, SIZE), (80, 64)], [(512, 512), (77, 130), (40, 33)] * 3])
def test_fp32_probabilities_are_those_of_torch_for_any_matrix_and_length(
    torch_model: TorchModel, openvino_model: OpenVinoModel, matrices: list[tuple[int, int]]
) -> None:
    slices = synthetic_slices(matrices)
    ours, theirs = torch_model.read_slices(slices), openvino_model.read_slices(slices)
    # Both sum in float32, in another order.
    np.testing.assert_allclose(theirs.prob, ours.prob, atol=1e-4)
    np.testing.assert_allclose(theirs.reduced, ours.reduced, atol=1e-4 * np.abs(ours.reduced).max())
    assert np.ptp(ours.prob, axis=1).max() > 0.1
    refined = torch_model.refine(ours.reduced, ours.prob)
    np.testing.assert_allclose(openvino_model.refine(ours.reduced, ours.prob), refined, atol=1e-5)


def test_a_slice_has_the_same_bits_whatever_is_computed_beside_it(exported: Exported, openvino_model) -> None:
    slices = synthetic_slices([(64, 48)] * 5)
    together, alone = openvino_model.read_slices(slices), [openvino_model.read_slices([hu]) for hu in slices]
    np.testing.assert_array_equal(together.prob, np.concatenate([each.prob for each in alone]))
    more = OpenVinoModel(exported.folder, read_info(exported.folder), "fp32", jobs=2).read_slices(slices)
    np.testing.assert_array_equal(together.reduced, more.reduced)


def test_the_onnx_file_gives_both_stages_of_a_scan(exported: Exported, openvino_model: OpenVinoModel) -> None:
    """At the network's size, since OpenVINO, which reads it here, does not antialias an ONNX resize."""
    with no_telemetry():
        from openvino import Core

    slices = synthetic_slices([(SIZE, SIZE)] * 7)
    compiled = Core().compile_model(
        str(exported.folder / "openvino" / "pipeline.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    found = compiled(np.stack(slices))
    prob, reduced = openvino_model.read_slices(slices)
    np.testing.assert_allclose(found["prob"], prob, atol=1e-5)
    np.testing.assert_allclose(found["refined_prob"], openvino_model.refine(reduced, prob), atol=1e-5)


def test_model_json_names_graphs_and_losses_and_the_model_keeps_its_name(exported: Exported) -> None:
    info = read_info(exported.folder)
    assert info.exported is not None
    assert info.digest() == exported.before.digest()
    assert set(info.exported.graphs) == {"window", "slices", "slices_int8", "scan"}
    assert set(info.exported.losses) == {"int8"} | ({"bf16"} if machine_has_bf16() else set())
    loss = info.exported.losses["int8"]
    assert 0 < loss.largest_prob_change <= 0.2
    assert loss.scans == 2
    assert info.exported.largest_difference < 1e-5


def test_a_bundle_that_was_not_exported_says_nothing_of_it(exported: Exported, tmp_path: Path) -> None:
    write_info(tmp_path, exported.before)
    assert "exported" not in json.loads((tmp_path / "model.json").read_text())
    assert read_info(tmp_path) == exported.before


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def link(path: Path) -> None:
    moved = path.rename(path.with_name("elsewhere"))
    path.symlink_to(moved)


@pytest.mark.parametrize("name", ["window.xml", "window.bin", "slices.xml", "slices.bin", "scan.xml", "scan.bin"])
@pytest.mark.parametrize(
    ("damage", "why"), [(Path.unlink, "missing"), (flip, "damaged or changed"), (link, "a link, not a plain file")]
)
def test_a_graph_file_that_is_not_what_was_written_is_refused_by_name(
    copy: Path, name: str, damage: Callable[[Path], None], why: str
) -> None:
    damage(copy / "openvino" / name)
    with pytest.raises(BundleError, match=rf"{name}: {why}.*run `ichseq export` again"):
        OpenVinoModel(copy, read_info(copy), "fp32", jobs=1)


def test_a_graph_of_another_kind_or_of_no_kind_is_refused_by_name(copy: Path) -> None:
    info = read_info(copy)
    assert info.exported is not None
    swapped = info.exported.graphs | {"window": info.exported.graphs["scan"]}
    for suffix in ("xml", "bin"):
        shutil.copy(copy / "openvino" / f"scan.{suffix}", copy / "openvino" / f"window.{suffix}")
    wrong = info.model_copy(update={"exported": info.exported.model_copy(update={"graphs": swapped})})
    with pytest.raises(BundleError, match=r"window\.xml: does not fit model\.json"):
        OpenVinoModel(copy, wrong, "fp32", jobs=1)
    path = copy / "openvino" / "window.xml"
    path.write_text("<net>")
    digests = GraphDigests(xml_sha256=sha256_of(path), bin_sha256=sha256_of(path.with_suffix(".bin")))
    graphs = info.exported.graphs | {"window": digests}
    wrong = info.model_copy(update={"exported": info.exported.model_copy(update={"graphs": graphs})})
    with pytest.raises(BundleError, match=r"window\.xml: OpenVINO .* cannot use it"):
        OpenVinoModel(copy, wrong, "fp32", jobs=1)


def test_numbers_that_are_not_finite_are_refused(openvino_model: OpenVinoModel) -> None:
    hu = synthetic_slices([(40, 40)] * 3)
    hu[1][5, 5] = np.inf
    with pytest.raises(InputRefusedError, match="slice 2 of 3 has HU that are no finite numbers"):
        openvino_model.read_slices(hu)
    reduced = np.zeros((3, 8), np.float32)
    reduced[2] = np.nan
    with pytest.raises(ModelError, match="stage two gave no number for slice"):
        openvino_model.refine(reduced, np.full((3, 6), 0.5, np.float32))


def spread_channels(copy: Path) -> None:
    """Per block, one channel between two convolutions a thousand times as large, and the next weights as much smaller.

    ReLU keeps factors, so the network is the same in floating point; int8 has one range for all channels of a tensor.
    """
    with no_telemetry():
        from openvino import Core, opset11

    graph = Core().read_model(copy / "openvino" / "slices.xml")

    def scale(port, factor: np.ndarray) -> None:
        port.replace_source_output(opset11.constant(port.get_source_output().get_node().data * factor).output(0))

    changed = 0
    for convolution in [node for node in graph.get_ordered_ops() if node.get_type_name() == "GroupConvolution"]:
        relu = convolution.input_value(0).get_node()
        before = relu.input_value(0).get_node()
        assert before.get_type_name() == "Convolution", "fresh batch norm shifts nothing, so there is no bias to scale"
        channels = before.input_value(1).get_node().data.shape[0]
        factor = np.ones((channels, 1, 1, 1), np.float32)
        factor[0] = 1000
        scale(before.input(1), factor)
        groups = convolution.input_value(1).get_node().data.shape
        scale(convolution.input(1), 1 / factor.reshape(groups[0], 1, groups[2], 1, 1))
        changed += 1
    assert changed == 4
    graph.validate_nodes_and_infer_types()
    info = read_info(copy)
    assert info.exported is not None
    graphs = info.exported.graphs | {"slices": write_graph(copy, "slices", graph)}
    write_info(copy, info.model_copy(update={"exported": info.exported.model_copy(update={"graphs": graphs})}))


def test_int8_is_refused_with_its_figures_where_quantisation_really_hurts(
    exported: Exported, copy: Path, table: Table, openvino_model: OpenVinoModel
) -> None:
    healthy = read_info(exported.folder).exported
    assert healthy is not None
    allowed = 2 * healthy.losses["int8"].largest_prob_change
    spread_channels(copy)
    slices = synthetic_slices([(64, 64)] * 3)
    spread = OpenVinoModel(copy, read_info(copy), "fp32", jobs=1).read_slices(slices)
    np.testing.assert_allclose(spread.prob, openvino_model.read_slices(slices).prob, atol=1e-4)
    on = rows_to_measure(read_table(table.path), table.root, sha256_of(table.path), Limits(20, 1))
    with pytest.raises(
        ModelError, match=r"int8 is refused.*in floating point it changes one by 0\.\d+ and lowers one by"
    ):
        measure_precisions(copy, on, 1, Gate(allowed, 1.0))
    assert not (copy / "openvino" / "slices_int8.xml").exists()


def test_what_computes_is_the_fastest_that_bundle_and_machine_have(exported: Exported, monkeypatch) -> None:
    from ich_seq.model import runtime

    folder, info = exported.folder, read_info(exported.folder)
    monkeypatch.setattr(runtime, "gpu_is_here", lambda: False)
    low = "bf16" if machine_has_bf16() else "fp32"
    no_int8 = info.model_copy(
        update={"exported": info.exported.model_copy(update={"graphs": {"scan": info.exported.graphs["scan"]}})}
    )
    assert choose(folder, info, "auto", "auto", "auto").precision == "int8"
    assert choose(folder, no_int8, "auto", "auto", "auto").precision == low
    assert choose(folder, exported.before, "auto", "auto", "auto").runtime == "torch"
    assert choose(folder, info, "torch", "auto", "cpu").runtime == "torch"
    assert choose(folder, info, "auto", "auto", "cuda:1").device == "cuda:1"
    monkeypatch.setattr(runtime, "gpu_is_here", lambda: True)
    assert choose(folder, info, "auto", "auto", "auto").runtime == "torch"
    assert choose(folder, info, "auto", "auto", "cpu").runtime == "openvino"


@pytest.mark.parametrize(
    ("asked", "was_exported", "match"),
    [
        (("openvino", "auto", "cuda"), True, "computes on the processor, not on device 'cuda'"),
        (("openvino", "auto", "cpu"), False, "holds no OpenVINO graphs; make them with `ichseq export"),
        (("torch", "int8", "cpu"), True, "int8 needs OpenVINO"),
        (("auto", "int8", "cpu"), False, "int8 needs OpenVINO.*make the graphs with"),
        (("auto", "int8", "cuda"), True, "int8 needs OpenVINO on the processor"),
    ],
)
def test_what_excludes_itself_is_refused(exported: Exported, asked, was_exported: bool, match: str) -> None:
    info = read_info(exported.folder) if was_exported else exported.before
    with pytest.raises(UsageError, match=match):
        choose(exported.folder, info, *asked)


def test_a_precision_that_the_bundle_or_the_machine_lacks_is_refused(exported: Exported, monkeypatch) -> None:
    from ich_seq.model import openvino_backend

    info = read_info(exported.folder)
    graphs = {name: digests for name, digests in info.exported.graphs.items() if name != "slices_int8"}
    without = info.model_copy(update={"exported": info.exported.model_copy(update={"graphs": graphs})})
    with pytest.raises(UsageError, match="no int8 graph in this bundle"):
        OpenVinoModel(exported.folder, without, "int8", jobs=1)
    monkeypatch.setattr(openvino_backend, "machine_has_bf16", lambda: False)
    with pytest.raises(UsageError, match="does not multiply bf16"):
        OpenVinoModel(exported.folder, info, "bf16", jobs=1)


def test_inspect_shows_the_graphs_and_verifies_them(copy: Path) -> None:
    from ich_seq.cli.inspect import describe

    facts = describe(copy).facts
    assert "window, slices, scan, slices_int8" in str(facts["exported"])
    assert any("int8: a probability changed by" in line for line in facts["precisions"])
    flip(copy / "openvino" / "pipeline.onnx")
    with pytest.raises(BundleError, match=r"pipeline\.onnx: missing or changed"):
        describe(copy)
