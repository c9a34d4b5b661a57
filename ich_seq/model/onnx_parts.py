"""The parts of a bundle's network as ONNX, made by torch, and all of them joined in one graph: HU of a scan in, probabilities out."""

import logging
import warnings
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from ich_seq.config import PreprocessConfig
from ich_seq.errors import ModelError
from ich_seq.labels import LABELS
from ich_seq.model.bundle import BundleInfo
from ich_seq.model.exported import tile_name
from ich_seq.model.torch_backend import TorchModel
from ich_seq.slices.window import Preprocess

if TYPE_CHECKING:
    import onnx

_NEIGHBOURS = """
<ir_version: {ir_version}, opset_import: ["" : {opset}]>
neighbours (float[slices, channels, size, size] slice_tiles) => (float[slices, every, size, size] tiles)
<int64 zero = {{0}}, int64 one = {{1}}, int64[1] first = {{0}}, int64[1] second = {{1}}, int64[1] third = {{2}},
 int64[{count}] steps = {{{steps}}}, int64[4] shape = {{-1, {channels}, {size}, {size}}}>
{{
    lengths = Shape (slice_tiles)
    slices = Gather (lengths, zero)
    places = Range (zero, slices, one)
    second_place = Slice (places, second, third, first)
    two_slices_or_more = Reshape (second_place, second)
    own = Unsqueeze (places, second)
    stepped = Mul (steps, two_slices_or_more)
    unbounded = Add (own, stepped)
    highest = Sub (slices, one)
    bounded = Clip (unbounded, zero, highest)
    beside = Gather <axis = 0> (slice_tiles, bounded)
    tiles = Reshape (beside, shape)
}}
"""
"""As `Preprocess.with_neighbours`: the place of each slice and its neighbours', the last slice beyond an end. Of one slice there is no
second place, so that no shape fits, and whatever computes the graph stops."""


class _Window(nn.Module):
    """HU to the network's normalised input, or to what each slice gives of it, where neighbours are read beside it."""

    def __init__(self, model: TorchModel) -> None:
        super().__init__()
        self.preprocess = _of_one_slice(model.cnn.preprocess, model.info.preprocess)

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


def onnx_part(name: str, model: TorchModel) -> "onnx.ModelProto":
    """The part `window`, `slices` or `scan` of a model, for any matrix and any number of slices."""
    preprocess, free = model.info.preprocess, torch.export.Dim.DYNAMIC
    if name == "window":
        example: tuple[Tensor, ...] = (torch.zeros(3, 40, 48),)
        return _to_onnx(_Window(model), example, ({0: free, 1: free, 2: free},), (["hu"], [tile_name(preprocess)]))
    if name == "slices":
        example = (torch.zeros(2, preprocess.channels, preprocess.size, preprocess.size),)
        return _to_onnx(_Slices(model), example, ({0: free},), (["tiles"], ["logits", "prob", "reduced"]))
    example = (torch.zeros(5, model.info.reduced_width), torch.full((5, len(LABELS)), 0.5))
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
    part = program.model_proto
    for noted in (
        *part.graph.node,
        *part.graph.value_info,
        *part.graph.input,
        *part.graph.output,
        *part.graph.initializer,
    ):
        del noted.metadata_props[:]  # where in this machine's folders torch found each node
    return part


def joined(parts: dict[str, "onnx.ModelProto"], info: BundleInfo) -> "onnx.ModelProto":
    """One graph of all parts: HU of a scan's slices, feet to head, to both stages' probabilities.

    Where the network reads neighbours they are set beside each slice in it, and a scan of one slice is refused by what computes it.
    """
    from onnx import checker, compose, helper

    if info.preprocess.adjacent_slices:
        parts = {**parts, "neighbours": _neighbours(info.preprocess, parts["window"])}
    named = [
        compose.add_prefix(parts[name], f"{name}/", rename_inputs=False, rename_outputs=False)
        for name in ("window", "neighbours", "slices", "scan")
        if name in parts
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


def _neighbours(config: PreprocessConfig, beside: "onnx.ModelProto") -> "onnx.ModelProto":
    """Tiles of one slice each to those with neighbours, in the versions of the part `beside`."""
    from onnx import parser

    reach = config.adjacent_slices
    (opset,) = (each.version for each in beside.opset_import if not each.domain)
    part = parser.parse_model(
        _NEIGHBOURS.format(
            ir_version=beside.ir_version,
            opset=opset,
            count=2 * reach + 1,
            steps=", ".join(map(str, range(-reach, reach + 1))),
            channels=config.channels,
            size=config.size,
        )
    )
    for node in part.graph.node:
        node.name = node.output[0]  # what computes the graph says at which node it stopped
    return part


def _of_one_slice(whole: Preprocess, config: PreprocessConfig) -> Preprocess:
    """The same for each slice by itself; itself where no neighbours are read.

    Raises:
        ModelError: a slice is normalised otherwise as a neighbour than in its own place, so that it has no one tile.
    """
    if not config.adjacent_slices:
        return whole
    single = Preprocess(config.model_copy(update={"adjacent_slices": 0}))
    state = whole.state_dict()
    for name in ("mean", "std"):
        first = state[name][:, : config.slice_channels]
        if not torch.equal(first.repeat(1, 2 * config.adjacent_slices + 1, 1, 1), state[name]):
            raise ModelError(
                f"its weights have another {name} for neighbouring slices than for the slice itself, which no training here makes; "
                "score with --runtime torch"
            )
        state[name] = first
    single.load_state_dict(state)
    return single
