"""A bundle made to compute with OpenVINO on the processor: the protocol of `TorchModel`, without importing torch."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float32

from ich_seq.errors import BundleError, UsageError
from ich_seq.labels import LABELS
from ich_seq.model.bundle import BundleInfo
from ich_seq.model.exported import FOLDER, GraphName, read_graph, tile_name
from ich_seq.model.reading import SliceReading
from ich_seq.model.telemetry import no_telemetry
from ich_seq.slices.finite import refuse_non_finite_hu, refuse_non_numbers
from ich_seq.volume import Slice

if TYPE_CHECKING:
    import openvino as ov

MOST_STREAMS = 8
"""Slices under way at once: those that scoring hands over together."""
_HINTS = {"fp32": "f32", "bf16": "bf16"}
Computed = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True, slots=True)
class _Graph:
    """A graph to compile, whose inputs have so many axes, and whose outputs these lengths after the first axis."""

    name: GraphName
    inputs: dict[str, int]
    outputs: dict[str, tuple[int, ...]]
    properties: dict[str, Any]


class OpenVinoModel:
    """Both stages on the processor; windowing and stage two in fp32 whatever the precision of stage one's network.

    Each slice is computed by itself, several at once, so that a result depends neither on its neighbours in a chunk nor on their
    number. Compiled graphs are kept nowhere: OpenVINO's cache saved a tenth of a second of the half that ResNeXt-101 takes in bf16,
    and would be a file that nothing in model.json vouches for.
    """

    runtime = "openvino"
    device = "cpu"

    def __init__(self, folder: Path, info: BundleInfo, precision: Computed = "fp32", jobs: int = 0) -> None:
        """Reads and compiles the graphs of the bundle in `folder`.

        Args:
            folder: of the bundle.
            info: its description, which names the graphs.
            precision: of stage one's network.
            jobs: threads, 0 for all cores.

        Raises:
            BundleError: a graph is missing, damaged, changed, or does not fit model.json.
            UsageError: a precision that the processor or the bundle does not have.
        """
        with no_telemetry():
            import openvino as ov

        if info.exported is None:
            raise BundleError(f"{folder}: holds no OpenVINO graphs; run `ichseq export --model {folder}`")
        self.info, self.precision = info, precision
        self._folder, self._exported, self._ov, self._core = folder, info.exported, ov, ov.Core()
        self._kept: list[Any] = []  # OpenVINO reads weights where they lie, and does not keep them alive
        if precision == "int8" and "slices_int8" not in info.exported.graphs:
            raise UsageError(
                f"{folder}: no int8 graph in this bundle; `ichseq export --int8` makes one, if it loses little"
            )
        if precision == "bf16" and not machine_has_bf16():
            raise UsageError("--precision bf16: this processor does not multiply bf16; use fp32 or auto")
        threads = jobs or len(os.sched_getaffinity(0))
        size, labels, coordinates = info.preprocess.size, len(LABELS), info.reduced_width
        window = {tile_name(info.preprocess): (info.preprocess.slice_channels, size, size)}
        low = "fp32" if precision == "fp32" or not machine_has_bf16() else "bf16"
        read: dict[str, tuple[int, ...]] = {"logits": (labels,), "prob": (labels,), "reduced": (coordinates,)}
        refined: dict[str, tuple[int, ...]] = {"refined_logits": (labels,), "refined_prob": (labels,)}
        slices: GraphName = "slices_int8" if precision == "int8" else "slices"
        graphs = (
            _Graph(slices, {"tiles": 4}, read, _properties(low, threads, min(threads, MOST_STREAMS))),
            _Graph("scan", {"reduced": 2, "prob": 2}, refined, _properties("fp32", threads)),
            _Graph("window", {"hu": 3}, window, _properties("fp32", threads)),
        )
        with ThreadPoolExecutor(len(graphs)) as pool:  # one is compiled while another's digest is taken
            self._slices, self._scan, self._window = pool.map(self._compile, graphs)
        self._queue = ov.AsyncInferQueue(self._slices, min(threads, MOST_STREAMS))

    def network_tiles(
        self, slices_hu: Sequence[Float32[np.ndarray, "_ _"]], asked: range
    ) -> Iterator[Float32[np.ndarray, "1 c size size"]]:
        """The network's normalised input for each of the `asked` among successive slices in HU, in fp32; no slice is windowed twice.

        Beyond an end of the slices the last one stands in, as in training.
        """
        reach, last = self.info.preprocess.adjacent_slices, len(slices_hu) - 1
        known: dict[int, Float32[np.ndarray, "1 k size size"]] = {}
        for place in asked:
            around = [min(max(other, 0), last) for other in range(place - reach, place + reach + 1)]
            read = {other: known.get(other) for other in around}
            known = {other: self.tiles(slices_hu[other]) if tile is None else tile for other, tile in read.items()}
            yield np.concatenate([known[other] for other in around], axis=1) if reach else known[place]

    def tiles(self, hu: Slice) -> Float32[np.ndarray, "1 k size size"]:
        """What one slice in HU gives of the network's normalised input, in fp32: all of it, unless neighbours are read beside it."""
        return self._window(hu[None])[0]

    def read_slices(self, slices_hu: Sequence[Float32[np.ndarray, "_ _"]], asked: range | None = None) -> SliceReading:
        """Stage one on successive slices in HU, any matrix, on all or on those `asked` for: windowed one by one while others compute.

        Raises:
            InputRefusedError, ModelError: HU, a logit or a coordinate is not finite.
        """
        refuse_non_finite_hu(slices_hu)
        wanted = range(len(slices_hu)) if asked is None else asked
        found: dict[str, Any] = {
            "logits": np.empty((len(wanted), len(LABELS)), np.float32),
            "prob": np.empty((len(wanted), len(LABELS)), np.float32),
            "reduced": np.empty((len(wanted), self.info.reduced_width), np.float32),
        }

        def keep(request: Any, index: int) -> None:
            for name, rows in found.items():
                rows[index] = request.get_tensor(name).data[0]

        self._queue.set_callback(keep)
        for index, tiles in enumerate(self.network_tiles(slices_hu, wanted)):
            self._queue.start_async({"tiles": tiles}, index)
        self._queue.wait_all()
        refuse_non_numbers("stage one", found["logits"])
        refuse_non_numbers("the PCA", found["reduced"])
        return SliceReading(found["prob"], found["reduced"])

    def refine(
        self, reduced: Float32[np.ndarray, "s k"], prob: Float32[np.ndarray, "s l"]
    ) -> Float32[np.ndarray, "s l"]:
        """Stage two on one scan, feet to head: refined probabilities. Raises ModelError where a logit is not finite."""
        found = self._scan({"reduced": reduced, "prob": prob})
        refuse_non_numbers("stage two", found["refined_logits"])
        return found["refined_prob"].copy()

    def _compile(self, wanted: "_Graph") -> "ov.CompiledModel":
        ov, name = self._ov, wanted.name
        files = read_graph(self._folder, self._exported, name)
        path = self._folder / FOLDER / f"{name}.xml"
        try:
            weights = ov.Tensor(files.weights, shared_memory=True)
            self._kept += [files.weights, weights]
            graph = self._core.read_model(files.xml, weights)
            ranks = {port.any_name: len(port.partial_shape) for port in graph.inputs}
            shapes = {port.any_name: _lengths(port.partial_shape) for port in graph.outputs}
            if ranks != wanted.inputs or shapes != wanted.outputs:
                raise BundleError(f"{path}: does not fit model.json; run `ichseq export` again")
            compiled = self._core.compile_model(graph, "CPU", wanted.properties)
        except RuntimeError as error:
            raise BundleError(
                f"{path}: OpenVINO {ov.get_version().partition('-')[0]} cannot use it, made with "
                f"{self._exported.openvino_version}; run `ichseq export` again"
            ) from error
        return compiled


def machine_has_bf16() -> bool:
    """Whether this processor multiplies bf16 itself (AVX512-BF16 or AMX), as OpenVINO says."""
    with no_telemetry():
        from openvino import Core

    return "BF16" in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _lengths(shape: "ov.PartialShape") -> tuple[int, ...]:
    """All lengths but the first; -1 where it is free."""
    return tuple(axis.get_length() if axis.is_static else -1 for axis in list(shape)[1:])


def _properties(precision: str, threads: int, streams: int = 1) -> dict[str, Any]:
    return {"INFERENCE_PRECISION_HINT": _HINTS[precision], "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams}
