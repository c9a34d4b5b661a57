"""int8 by NNCF's post-training quantisation of the exported slice graph; whether it may be used is decided elsewhere, by measuring."""

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from ich_seq.errors import UsageError
from ich_seq.model.bundle import BundleInfo
from ich_seq.model.exported import Exported, read_graph
from ich_seq.model.telemetry import no_telemetry

if TYPE_CHECKING:
    import openvino as ov


def quantise(
    folder: Path,
    info: BundleInfo,
    exported: Exported,
    tiles: Sequence[Float32[np.ndarray, "1 c size size"]],
    first: int,
) -> "ov.Model":
    """The slice graph of the bundle in `folder` with convolutions in int8: weights per channel, activations per tensor.

    Ranges of activations are their largest over all tiles: NNCF's default, a mean of maxima, cuts off what only slices with a bleed
    reach (on the demo's model it changed a probability by .75 where this changed one by .10). The head and the PCA stay in floating
    point.

    Args:
        folder: of the bundle.
        info: its description.
        exported: which names the slice graph.
        tiles: normalised input of single slices, for calibration.
        first: so many convolutions at the front stay in floating point.

    Raises:
        UsageError: NNCF is not installed.
        BundleError: the slice graph is missing, damaged or changed.
        ValueError: no tiles, or of another shape than the graph takes.
    """
    with no_telemetry():
        from openvino import Core, Tensor

    wanted = (1, info.preprocess.channels, info.preprocess.size, info.preprocess.size)
    if not tiles or any(tile.shape != wanted for tile in tiles):
        raise ValueError(f"tiles must be one or more arrays of shape {wanted}")
    files = read_graph(folder, exported, "slices")
    graph = Core().read_model(files.xml, Tensor(files.weights.copy()))
    convolutions = [
        node.get_friendly_name() for node in graph.get_ordered_ops() if "Convolution" in node.get_type_name()
    ]
    with _quiet_nncf() as nncf:
        return nncf.quantize(
            graph,
            nncf.Dataset(list(tiles)),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(tiles),
            ignored_scope=nncf.IgnoredScope(names=convolutions[:first], types=["MatMul"], validate=False),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=nncf.quantization.range_estimator.RangeEstimatorParametersSet.MINMAX
            ),
        )


@contextlib.contextmanager
def _quiet_nncf() -> Iterator[ModuleType]:
    """NNCF without telemetry, without progress bars and without a word.

    Raises:
        UsageError: it is not installed.
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # NNCF asks for CUDA's compiler
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            with no_telemetry():
                import nncf
                import nncf.quantization.range_estimator
        except ImportError as error:
            raise UsageError("int8 needs NNCF: pip install 'ichseq[export]'") from error
        nncf.set_log_level(logging.ERROR)
        yield nncf
