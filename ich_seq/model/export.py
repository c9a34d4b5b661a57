"""From a bundle's weights to OpenVINO graphs and one ONNX file inside the same bundle; torch and OpenVINO are both needed here.

Each part goes torch -> ONNX -> OpenVINO: `ov.convert_model` would trace with deprecated means and send telemetry, and neither step
here writes outside the bundle.
"""

import hashlib
import logging
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from ich_seq.errors import ModelError, UsageError
from ich_seq.files import make_folder, replacing, sha256_of, write_bytes
from ich_seq.labels import LABELS
from ich_seq.model.bundle import BundleInfo, read_bundle, write_info
from ich_seq.model.exported import FOLDER, ONNX_FILE, Exported, GraphDigests, GraphName
from ich_seq.model.openvino_backend import OpenVinoModel
from ich_seq.model.telemetry import no_telemetry
from ich_seq.model.torch_backend import TorchModel

if TYPE_CHECKING:
    import onnx
    import openvino as ov

LARGEST_DIFFERENCE = 1e-3
"""Between torch's fp32 probabilities and the graphs'; more is no rounding, and the export is refused."""
_CHECKED_MATRICES = ((512, 512), (512, 512), (300, 200), (97, 256))


class _Window(nn.Module):
    """HU to the network's normalised input."""

    def __init__(self, model: TorchModel) -> None:
        super().__init__()
        self.preprocess = model.cnn.preprocess

    def forward(self, hu: Float32[Tensor, "b y x"]) -> Float32[Tensor, "b c size size"]:
        return self.preprocess(self.preprocess.tiles(hu))


class _Slices(nn.Module):
    """Normalised tiles to logits, probabilities and PCA coordinates."""

    mean: Tensor
    components: Tensor

    def __init__(self, model: TorchModel) -> None:
        super().__init__()
        self.cnn = model.cnn
        self.register_buffer("mean", torch.from_numpy(model.pca.mean))
        self.register_buffer("components", torch.from_numpy(model.pca.components))

    def forward(self, tiles: Float32[Tensor, "b c size size"]) -> tuple[Tensor, Tensor, Tensor]:
        logits, embedding = self.cnn.from_normalised(tiles)
        return logits, torch.sigmoid(logits), (embedding - self.mean) @ self.components.T


class _Scan(nn.Module):
    """One scan's coordinates and probabilities, feet to head, to refined logits and probabilities."""

    def __init__(self, model: TorchModel) -> None:
        super().__init__()
        self.lstm = model.lstm

    def forward(self, reduced: Float32[Tensor, "s k"], prob: Float32[Tensor, "s l"]) -> tuple[Tensor, Tensor]:
        logits = self.lstm.refine_one(reduced, prob)
        return logits, torch.sigmoid(logits)


def export(folder: Path, *, onnx: bool = True, on_step: Callable[[str], None] = lambda step: None) -> Exported:
    """Writes the fp32 graphs of the bundle in `folder` into `folder/openvino` and names them in model.json.

    While they are written model.json names none, so an interrupted export leaves a bundle that torch computes as before.

    Args:
        folder: of a model bundle.
        onnx: whether pipeline.onnx is written too.
        on_step: hears what is done next.

    Raises:
        BundleError: the bundle cannot be used.
        ModelError: a graph gives other probabilities than torch.
        OutputError: the bundle cannot be written.
        UsageError: the libraries for export are not installed.
    """
    if any(find_spec(name) is None for name in ("onnx", "onnxscript")):
        raise UsageError("export needs onnx and onnxscript: pip install 'ichseq[export]'")
    model = TorchModel(read_bundle(folder))
    if model.info.preprocess.adjacent_slices:
        raise UsageError(f"{folder}: its network reads adjacent slices, which export cannot yet; score it with torch")
    info = model.info.model_copy(update={"exported": None})
    make_folder(folder / FOLDER)
    write_info(folder, info)
    parts = {}
    for name in ("window", "slices", "scan"):
        on_step(f"converting the {name} graph")
        parts[name] = _part(name, model)
    on_step("writing")
    graphs: dict[GraphName, GraphDigests] = {}
    graphs["window"] = write_graph(folder, "window", _openvino_window(parts["window"], info))
    graphs["slices"] = write_graph(folder, "slices", _openvino_slices(parts["slices"], info))
    graphs["scan"] = write_graph(folder, "scan", _read(parts["scan"]))
    joined = None
    if onnx:
        path = folder / FOLDER / ONNX_FILE
        write_bytes(path, _joined(parts, info).SerializeToString())
        joined = sha256_of(path)
    on_step("comparing with torch")
    described = _describe(graphs, joined)
    difference = _difference(model, OpenVinoModel(folder, info.model_copy(update={"exported": described})))
    if not difference <= LARGEST_DIFFERENCE:
        raise ModelError(
            f"{folder}: the exported graphs differ from torch by {difference:.2g} in a probability, more than "
            f"{LARGEST_DIFFERENCE:g}; score with --runtime torch, and please report it"
        )
    described = described.model_copy(update={"largest_difference": difference})
    write_info(folder, info.model_copy(update={"exported": described}))
    return described


def write_graph(folder: Path, name: GraphName, graph: "ov.Model") -> GraphDigests:
    """Writes one graph as NAME.xml and NAME.bin, each whole or not at all, and returns their digests.

    Raises:
        OutputError: disk full, or the bundle is not writable.
    """
    with no_telemetry():
        from openvino import serialize

    xml, weights = (make_folder(folder / FOLDER) / f"{name}.{suffix}" for suffix in ("xml", "bin"))
    with replacing(xml) as xml_beside, replacing(weights) as weights_beside:
        serialize(graph, str(xml_beside), str(weights_beside))
    return GraphDigests(xml_sha256=sha256_of(xml), bin_sha256=sha256_of(weights))


def _part(name: str, model: TorchModel) -> "onnx.ModelProto":
    info, free = model.info, torch.export.Dim.DYNAMIC
    channels, size = info.preprocess.channels, info.preprocess.size
    if name == "window":
        example: tuple[Tensor, ...] = (torch.zeros(3, 40, 48),)
        return _to_onnx(_Window(model), example, ({0: free, 1: free, 2: free},), (["hu"], ["tiles"]))
    if name == "slices":
        example = (torch.zeros(2, channels, size, size),)
        return _to_onnx(_Slices(model), example, ({0: free},), (["tiles"], ["logits", "prob", "reduced"]))
    example = (torch.zeros(5, info.reduced_width), torch.full((5, len(LABELS)), 0.5))
    names = (["reduced", "prob"], ["refined_logits", "refined_prob"])
    return _to_onnx(_Scan(model), example, ({0: free}, {0: free}), names)


def _to_onnx(
    module: nn.Module, example: tuple[Tensor, ...], free: tuple[dict[int, Any], ...], names: tuple[list[str], list[str]]
) -> "onnx.ModelProto":
    """A module as ONNX; `free` are the axes of any length, `names` those of inputs and outputs."""
    loud = logging.getLogger("torch.onnx")
    level = loud.level
    loud.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of its own future, and of weights that nn.LSTM flattens
            program = torch.onnx.export(
                module.eval(),
                example,
                dynamo=True,
                dynamic_shapes=free,
                input_names=names[0],
                output_names=names[1],
                verbose=False,
            )
    finally:
        loud.setLevel(level)
    if program is None:
        raise ModelError("torch.onnx.export gave no program; use another version of torch")
    return program.model_proto


def _read(part: "onnx.ModelProto") -> "ov.Model":
    with no_telemetry():
        from openvino import Core

    return Core().read_model(part.SerializeToString())


def _openvino_slices(part: "onnx.ModelProto", info: BundleInfo) -> "ov.Model":
    """One slice at a time, with every constant folded: that compiles faster, and NNCF finds the biases."""
    with no_telemetry():
        from openvino.passes import ConstantFolding, Manager

    graph = _read(part)
    graph.reshape([1, info.preprocess.channels, info.preprocess.size, info.preprocess.size])
    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(graph)
    return graph


def _openvino_window(part: "onnx.ModelProto", info: BundleInfo) -> "ov.Model":
    """The window graph; an antialiased resize becomes OpenVINO's Pillow kind, since its linear kinds ignore antialiasing in silence.

    Source: OpenVINO operation set, Interpolate-11; torch's antialiased bilinear is Pillow's.
    """
    graph = _read(part)
    if not info.preprocess.antialias:
        return graph
    with no_telemetry():
        from openvino import opset11

    sizes, axes = ([info.preprocess.size] * 2, [2, 3])
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "Interpolate" and node.get_attributes()["mode"].startswith("linear"):
            pillow = opset11.interpolate(
                node.input_value(0),
                opset11.constant(np.array(sizes, np.int32)),
                mode="bilinear_pillow",
                shape_calculation_mode="sizes",
                axes=opset11.constant(np.array(axes, np.int32)),
            )
            node.output(0).replace(pillow.output(0))
    graph.validate_nodes_and_infer_types()
    return graph


def _joined(parts: dict[str, "onnx.ModelProto"], info: BundleInfo) -> "onnx.ModelProto":
    """One graph of the three: HU of a scan's slices, feet to head, to both stages' probabilities."""
    from onnx import checker, compose, helper

    named = [
        compose.add_prefix(part, f"{name}/", rename_inputs=False, rename_outputs=False) for name, part in parts.items()
    ]
    graphs = [model.graph for model in named]
    outputs = [value for graph in graphs for value in graph.output if value.name in ("prob", "refined_prob")]
    whole = helper.make_graph(
        [node for graph in graphs for node in graph.node],
        "ichseq",
        list(graphs[0].input),
        outputs,
        [values for graph in graphs for values in graph.initializer],
        doc_string=info.intended_use,
    )
    model = helper.make_model(
        whole,
        opset_imports=named[0].opset_import,
        functions=[function for part in named for function in part.functions],
        ir_version=named[0].ir_version,
        producer_name="ichseq",
    )
    helper.set_model_props(model, {"labels": ",".join(info.labels), "model_digest": info.digest()})
    checker.check_model(model)
    return model


def _describe(graphs: dict[GraphName, GraphDigests], onnx_sha256: str | None) -> Exported:
    from importlib.metadata import version

    from ich_seq import __version__

    return Exported(
        ichseq_version=__version__,
        openvino_version=version("openvino"),
        graphs=graphs,
        onnx_sha256=onnx_sha256,
        largest_difference=0.0,
    )


def _difference(ours: TorchModel, theirs: OpenVinoModel) -> float:
    """The largest difference of a probability of either stage, over synthetic slices of several matrices."""
    slices = synthetic_slices(_CHECKED_MATRICES)
    one, other = ours.read_slices(slices), theirs.read_slices(slices)
    refined = ours.refine(one.reduced, one.prob), theirs.refine(other.reduced, other.prob)
    return float(max(np.abs(one.prob - other.prob).max(), np.abs(refined[0] - refined[1]).max()))


def synthetic_slices(matrices: Sequence[tuple[int, int]]) -> list[Float32[np.ndarray, "_ _"]]:
    """Slices in HU with flat fields between -100 and 250 HU and noise of 5 HU, seeded: no anatomy, but every window is crossed."""
    generator = np.random.default_rng(int.from_bytes(hashlib.sha256(b"ichseq export").digest()[:4], "little"))
    found = []
    for rows, columns in matrices:
        fields = generator.uniform(-100, 250, (8, 8))
        places = [np.arange(length) * 8 // length for length in (rows, columns)]
        found.append(fields[np.ix_(*places)] + generator.normal(0, 5, (rows, columns)))
    return [np.asarray(hu, np.float32) for hu in found]
