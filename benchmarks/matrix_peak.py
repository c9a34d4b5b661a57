"""The most that this machine multiplies: a large matrix product in each precision, and the arithmetic of a network beside it."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from ich_seq.model.openvino_backend import machine_has_bf16
from ich_seq.model.telemetry import no_telemetry
from ich_seq.model.torch_backend import TorchModel

SIDE = 3072
_PASSES = 6


def matrix_peaks(threads: int) -> dict[str, float]:
    """10^12 operations a second in the best product of two 3072 x 3072 matrices by precision; the larger of torch's and OpenVINO's."""
    found = {"fp32": _torch(torch.float32), "int8": 0.0}
    if machine_has_bf16():
        found["bf16"] = _torch(torch.bfloat16)
    return {name: max(known, _openvino(name, threads)) for name, known in found.items()}


def flop_a_slice(model: TorchModel) -> float:
    """Floating point operations of stage one's network on one slice, a multiplication and an addition being two."""
    size, channels = model.info.preprocess.size, model.info.preprocess.channels
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.cnn.from_normalised(torch.zeros(1, channels, size, size))
    return float(counter.get_total_flops())


def _torch(dtype: torch.dtype) -> float:
    left, right = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    return _best(lambda: left @ right)


def _openvino(precision: str, threads: int) -> float:
    """The same in OpenVINO; int8 by values that are quantised to 255 steps, which it multiplies as integers."""
    with no_telemetry():
        from openvino import Core, Model
        from openvino import opset13 as op

    values = np.random.default_rng(0).uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
    left = op.parameter([SIDE, SIDE], np.float32)
    right = op.constant(values)
    factors = [left, right]
    if precision == "int8":
        ends = [op.constant(np.float32(end)) for end in (-1.0, 1.0)]
        factors = [op.fake_quantize(each, *ends, *ends, levels) for each, levels in ((left, 256), (right, 255))]
    graph = Model([op.reduce_mean(op.matmul(*factors, False, True), op.constant([0, 1]), False)], [left])  # type: ignore[misc]
    hint = "bf16" if precision == "bf16" else "f32"
    properties = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    request = Core().compile_model(graph, "CPU", properties).create_infer_request()
    return _best(lambda: request.infer([values], share_inputs=True))


def _best(product: Callable[[], object]) -> float:
    """10^12 operations a second in the fastest of some passes after a warm-up."""
    seconds = []
    for _ in range(_PASSES + 1):
        started = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - started)
    return 2 * SIDE**3 / min(seconds[1:]) / 1e12
