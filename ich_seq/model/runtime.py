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

    `runtime` and `precision` as `choose` takes them; torch in fp32 unless more is asked for.
    """

    device: str = "auto"
    jobs: int = 0
    runtime: Runtime = "torch"
    precision: Precision = "auto"


WITH_TORCH = Compute()
"""torch in fp32, on a GPU where there is one."""

FASTEST = Compute(runtime="auto")
"""Whatever is fastest on this machine, of what the bundle has."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What will compute; nothing in it is `auto` but, for torch, the device."""

    runtime: Literal["openvino", "torch"]
    precision: Computed
    device: str


def choose(folder: Path, info: BundleInfo, runtime: Runtime, precision: Precision, device: str) -> Choice:
    """The fastest that was asked for, and that this machine and the bundle in `folder` have.

    A GPU computes with torch. Else OpenVINO does, where the bundle has its graphs (`ichseq export`): in int8 where there is such a
    graph, which means that its loss was measured and found small; in bf16 where the processor multiplies it; in fp32 elsewhere. Else
    torch in fp32.

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
        if precision in ("auto", "fp32"):
            return Choice("torch", "fp32", device)
        if runtime == "torch" or not has_graphs or device.startswith("cuda"):
            way_out = "" if has_graphs else f"; make the graphs with `ichseq export --model {folder}`"
            raise UsageError(f"--precision {precision} needs OpenVINO on the processor, torch scores in fp32{way_out}")
    return Choice("openvino", _openvino_precision(info, precision), "cpu")


def gpu_is_here() -> bool:
    """Whether NVIDIA's driver is loaded and torch can use it; without the driver torch is not imported."""
    if not _GPU_DRIVER.exists():
        return False
    import torch

    return torch.cuda.is_available()


def _openvino_precision(info: BundleInfo, precision: Precision) -> Computed:
    if precision != "auto":
        return cast(Computed, precision)
    if info.exported is not None and "slices_int8" in info.exported.graphs:
        return "int8"
    return "bf16" if machine_has_bf16() else "fp32"
