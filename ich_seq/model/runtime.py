"""Which library computes a bundle, in which precision and where: chosen without importing torch where OpenVINO will do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from ich_seq.errors import UsageError
from ich_seq.model.bundle import BundleInfo
from ich_seq.model.openvino_backend import Computed, machine_has_bf16

Runtime = Literal["auto", "openvino", "torch"]
Precision = Literal["auto", "fp32", "bf16", "int8"]
_GPU_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, slots=True)
class Compute:
    """Where and with what to compute: `device` is auto, cpu, cuda or cuda:N; `jobs` are threads, 0 for all cores.

    `runtime` and `precision` as `choose` takes them; torch in fp32, the reference, unless more is asked for.
    """

    device: str = "auto"
    jobs: int = 0
    runtime: Runtime = "torch"
    precision: Precision = "fp32"


WITH_TORCH = Compute()
"""torch in fp32, on a GPU where there is one."""

FASTEST = Compute(runtime="auto", precision="auto")
"""Whatever is fastest on this machine, of what the bundle has."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What will compute; nothing in it is `auto` but, for torch, the device."""

    runtime: Literal["openvino", "torch"]
    precision: Computed
    device: str


def choose(folder: Path, info: BundleInfo, runtime: Runtime, precision: Precision, device: str) -> Choice:
    """The fastest that was asked for, and that this machine and the bundle in `folder` have.

    A GPU computes with torch, in bf16 where it multiplies it. Else OpenVINO does, where the bundle has its graphs (`ichseq export`):
    in int8 where there is such a graph, which means that its loss was measured and found small; in bf16 where the processor
    multiplies it; in fp32 elsewhere. Else torch does, in fp32: on a processor it is the reference, and computes in bf16 only where
    that is asked for.

    Raises:
        UsageError: what was asked for excludes itself, or the bundle or the machine does not have it.
    """
    has_graphs = info.exported is not None
    on_gpu = device.startswith("cuda") or (device == "auto" and runtime != "openvino" and gpu_is_here())
    if runtime == "openvino" and device not in ("auto", "cpu"):
        raise UsageError(
            f"--runtime openvino computes on the processor, not on device {device!r}; leave one of the two out"
        )
    if runtime == "openvino" and not has_graphs:
        raise UsageError(f"{folder}: holds no OpenVINO graphs; make them with `ichseq export --model {folder}`")
    if runtime == "torch" or (runtime == "auto" and (on_gpu or not has_graphs)):
        place = "cpu" if not on_gpu else "cuda" if device == "auto" else device
        way_out = (
            "leave --runtime and --device out"
            if has_graphs
            else f"make the graphs with `ichseq export --model {folder}`"
        )
        try:
            return Choice("torch", _torch_precision(precision, place, way_out), device)
        except UsageError:
            if runtime == "torch" or not has_graphs or device.startswith("cuda"):
                raise
    return Choice("openvino", _openvino_precision(info, precision), "cpu")


def gpu_is_here() -> bool:
    """Whether NVIDIA's driver is loaded and torch can use it; without the driver torch is not imported."""
    if not _GPU_DRIVER.exists():
        return False
    import torch

    return torch.cuda.is_available()


def _torch_precision(precision: Precision, device: str, way_out: str) -> Computed:
    """On `device`, which is not auto. Raises UsageError where torch, or the device, does not compute in it."""
    if precision == "int8":
        raise UsageError(f"--precision int8 needs OpenVINO on the processor, torch scores in fp32 or bf16; {way_out}")
    if precision == "fp32" or (precision == "auto" and device == "cpu"):
        return "fp32"
    from ich_seq.training.compute import inference_precision

    return inference_precision(precision, device)


def _openvino_precision(info: BundleInfo, precision: Precision) -> Computed:
    if precision != "auto":
        return cast(Computed, precision)
    if info.exported is not None and "slices_int8" in info.exported.graphs:
        return "int8"
    return "bf16" if machine_has_bf16() else "fp32"
