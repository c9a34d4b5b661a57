"""Where and how precisely to compute: device, threads, precision and the seeds of each step."""

import os
import re
from typing import Literal

import torch
from threadpoolctl import threadpool_limits

from ich_seq.errors import UsageError
from ich_seq.training import ranks

Precision = Literal["auto", "fp32", "bf16"]
Resolved = Literal["fp32", "bf16"]
_LARGEST_SEED = 2**63 - 1


def resolve_device(name: str = "auto") -> str:
    """`cuda` where torch sees a GPU, else `cpu`; a name other than `auto` is passed on.

    Under torchrun each process has a GPU of its own.

    Raises:
        ValueError: no device's name, or a GPU that torch does not see.
    """
    if name in ("auto", "cuda"):
        kind = "cuda" if torch.cuda.is_available() or name == "cuda" else "cpu"
        name = f"cuda:{ranks.local_rank()}" if kind == "cuda" and ranks.world() > 1 else kind
    if fault := _fault_of(name):
        raise ValueError(fault)
    return name


def _fault_of(device: str) -> str:
    """Why nothing can be computed on a device, with the way out; empty where it is there."""
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        return f"device {device!r}: use cpu, cuda or cuda:N"
    if device == "cpu":
        return ""
    if not torch.cuda.is_available():
        return f"device {device!r}: torch sees no GPU here; use --device cpu"
    cards = torch.cuda.device_count()
    if int(device.partition(":")[2] or 0) >= cards:
        return f"device {device!r}: torch sees {cards} GPU(s), counted from cuda:0"
    return ""


def resolve_precision(precision: Precision, device: str) -> Resolved:
    """bf16 for `auto` where the processor multiplies it natively (AVX512-BF16, AMX, Ampere and later), else fp32."""
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        return "bf16" if _card_has_bf16(device) else "fp32"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"


def inference_precision(precision: Precision, device: str) -> Resolved:
    """What a trained network computes in: for `auto` bf16 on a GPU that multiplies it, and fp32, the reference, on a processor.

    Raises:
        UsageError: bf16 is asked for, and the GPU or the processor does not multiply it, or there is no such GPU.
    """
    on_gpu = device.startswith("cuda")
    if precision == "auto":
        return resolve_precision("auto", device) if on_gpu else "fp32"
    if precision == "bf16" and resolve_precision("auto", device) != "bf16":
        if fault := _fault_of(device):
            raise UsageError(fault)
        what = "GPU" if on_gpu else "processor"
        raise UsageError(f"--precision bf16: this {what} does not multiply bf16; use fp32 or auto")
    return precision


def _card_has_bf16(device: str) -> bool:
    if _fault_of(device):
        return False
    with torch.cuda.device(torch.device(device)):
        return torch.cuda.is_bf16_supported(including_emulation=False)


def set_threads(jobs: int) -> int:
    """Fixes torch's and numpy's threads to `jobs` (0: all cores that this process may use) and returns their number.

    The same number gives the same bits again; another number sums in another order.
    """
    threads = jobs or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    threadpool_limits(threads, user_api="blas")
    os.environ["OPENBLAS_NUM_THREADS"] = str(threads)  # for scipy's own, which is loaded when it is first needed
    return threads


def seed_for(*parts: int) -> int:
    """One seed out of several numbers (seed of the run, epoch, step); different parts give unrelated seeds.

    Randomness is drawn anew from (seed, epoch, step), so that a resumed run needs no saved generator to continue exactly.
    """
    import numpy as np

    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0]) & _LARGEST_SEED
