"""From a bundle's weights to OpenVINO graphs and one ONNX file inside the same bundle; torch and OpenVINO are both needed here.

Each part goes torch -> ONNX -> OpenVINO: `ov.convert_model` would trace with deprecated means and send telemetry, and neither step
here writes outside the bundle.
"""

import hashlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from ich_seq.config import PreprocessConfig
from ich_seq.errors import ModelError, UsageError
from ich_seq.files import make_folder, replacing, sha256_of, write_bytes
from ich_seq.model.bundle import read_bundle, write_info
from ich_seq.model.exported import FOLDER, ONNX_FILE, Exported, GraphDigests, GraphName
from ich_seq.model.onnx_parts import joined, onnx_part
from ich_seq.model.openvino_backend import OpenVinoModel
from ich_seq.model.telemetry import no_telemetry
from ich_seq.model.torch_backend import TorchModel

if TYPE_CHECKING:
    import onnx
    import openvino as ov

LARGEST_DIFFERENCE = 1e-3
"""Between torch's fp32 probabilities and the graphs'; more is no rounding, and the export is refused."""
_CHECKED_MATRICES = ((512, 512), (512, 512), (300, 200), (97, 256))


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
        UsageError: the libraries for export are not installed, or the bundle takes pixels in a way that OpenVINO does not.
    """
    if any(find_spec(name) is None for name in ("onnx", "onnxscript")):
        raise UsageError("export needs onnx and onnxscript: pip install 'ichseq[export]'")
    model = TorchModel(read_bundle(folder))
    info = model.info.model_copy(update={"exported": None})
    side = info.preprocess.size
    if info.preprocess.resize == "every_nth" and side & (side - 1):
        raise UsageError(
            f"{folder}: takes every n-th pixel to {side} px, no power of two, where OpenVINO takes a neighbour at some matrices; "
            "score it with --runtime torch"
        )
    make_folder(folder / FOLDER)
    write_info(folder, info)
    parts = {}
    for name in ("window", "slices", "scan"):
        on_step(f"converting the {name} graph")
        parts[name] = onnx_part(name, model)
    on_step("writing")
    graphs: dict[GraphName, GraphDigests] = {}
    graphs["window"] = write_graph(folder, "window", window_graph(parts["window"], info.preprocess))
    graphs["slices"] = write_graph(folder, "slices", _openvino_slices(parts["slices"], info.preprocess))
    graphs["scan"] = write_graph(folder, "scan", _read(parts["scan"]))
    onnx_sha256 = None
    if onnx:
        path = folder / FOLDER / ONNX_FILE
        write_bytes(path, joined(parts, info).SerializeToString())
        onnx_sha256 = sha256_of(path)
    on_step("comparing with torch")
    described = _describe(graphs, onnx_sha256)
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


def _read(part: "onnx.ModelProto") -> "ov.Model":
    with no_telemetry():
        from openvino import Core

    return Core().read_model(part.SerializeToString())


def _openvino_slices(part: "onnx.ModelProto", config: PreprocessConfig) -> "ov.Model":
    """One slice at a time, with every constant folded: that compiles faster, and NNCF finds the biases."""
    with no_telemetry():
        from openvino.passes import ConstantFolding, Manager

    graph = _read(part)
    graph.reshape([1, config.channels, config.size, config.size])
    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(graph)
    return graph


def window_graph(part: "onnx.ModelProto", config: PreprocessConfig) -> "ov.Model":
    """The window graph, in OpenVINO's terms where ONNX's are not enough.

    An antialiased resize becomes OpenVINO's Pillow kind, since its linear kinds ignore antialiasing in silence. A size that OpenVINO
    does not see by itself, after cutting or filling up, is told to it.

    Source: OpenVINO operation set, Interpolate-11; torch's antialiased bilinear is Pillow's.
    """
    with no_telemetry():
        from openvino import opset11

    graph = _read(part)
    for node in graph.get_ordered_ops() if config.antialias else ():
        if node.get_type_name() == "Interpolate" and node.get_attributes()["mode"].startswith("linear"):
            pillow = opset11.interpolate(
                node.input_value(0),
                opset11.constant(np.array([config.size * config.max_pool] * 2, np.int32)),
                mode="bilinear_pillow",
                shape_calculation_mode="sizes",
                axes=opset11.constant(np.array([2, 3], np.int32)),
            )
            node.output(0).replace(pillow.output(0))
    graph.validate_nodes_and_infer_types()
    if any(axis.is_dynamic for axis in list(graph.output(0).partial_shape)[1:]):
        result = graph.get_results()[0].input(0)
        shape = opset11.constant(np.array([0, config.slice_channels, config.size, config.size], np.int64))
        told = opset11.reshape(result.get_source_output(), shape, special_zero=True)
        told.output(0).set_names(result.get_source_output().get_names())
        result.replace_source_output(told.output(0))
        graph.validate_nodes_and_infer_types()
    return graph


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
    """The largest difference of a probability of either stage, over synthetic slices of several matrices.

    Where neighbours are read, the scan has room for all of them, and its middle is read once more by itself, as chunks are.
    """
    reach = ours.info.preprocess.adjacent_slices
    slices = synthetic_slices(_CHECKED_MATRICES * (1 + reach))
    one, other = ours.read_slices(slices), theirs.read_slices(slices)
    refined = ours.refine(one.reduced, one.prob), theirs.refine(other.reduced, other.prob)
    found = [np.abs(one.prob - other.prob).max(), np.abs(refined[0] - refined[1]).max()]
    if reach:
        inner = range(1, len(slices) - 2)
        chunk = ours.read_slices(slices, inner), theirs.read_slices(slices, inner)
        found.append(np.abs(chunk[0].prob - chunk[1].prob).max())
    return float(max(found))


def synthetic_slices(matrices: Sequence[tuple[int, int]]) -> list[Float32[np.ndarray, "_ _"]]:
    """Slices in HU with flat fields between -100 and 250 HU and noise of 5 HU, seeded: no anatomy, but every window is crossed."""
    generator = np.random.default_rng(int.from_bytes(hashlib.sha256(b"ichseq export").digest()[:4], "little"))
    found = []
    for rows, columns in matrices:
        fields = generator.uniform(-100, 250, (8, 8))
        places = [np.arange(length) * 8 // length for length in (rows, columns)]
        found.append(fields[np.ix_(*places)] + generator.normal(0, 5, (rows, columns)))
    return [np.asarray(hu, np.float32) for hu in found]
