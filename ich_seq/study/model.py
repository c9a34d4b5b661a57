"""A model as scoring sees it: what it must be able to do, and how one is loaded from its folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from ich_seq.errors import UsageError
from ich_seq.model.bundle import read_bundle, read_info
from ich_seq.model.ensemble import ModelInfo, is_ensemble, member_folder, read_ensemble_info
from ich_seq.model.runtime import WITH_TORCH, Compute, choose
from ich_seq.study.assemble import ModelUse
from ich_seq.study.chunks import Chunk
from ich_seq.volume import Slice


@runtime_checkable
class StudyModel(Protocol):
    """What scoring needs of a model; `TorchModel`, `OpenVinoModel` and `EnsembleModel` are such.

    `runtime` and `precision` say what computes it, for the result.
    """

    device: str
    runtime: str
    precision: str

    @property
    def info(self) -> ModelInfo:
        """What the model is."""
        ...

    def read_slices(
        self, slices_hu: Sequence[Slice], asked: range | None = None
    ) -> tuple[Float32[np.ndarray, "s l"], Float32[np.ndarray, "s k"]]:
        """Stage one on slices in HU, with square pixels: probabilities, and what stage two reads beside them.

        They are successive slices of a scan; those that are not `asked` for are there as neighbours alone. None: all are.
        """
        ...

    def refine(
        self, reduced: Float32[np.ndarray, "s k"], prob: Float32[np.ndarray, "s l"]
    ) -> Float32[np.ndarray, "s l"]:
        """Stage two on one scan, feet to head: refined probabilities."""
        ...


def load_model(folder: Path, compute: Compute = WITH_TORCH) -> StudyModel:
    """A bundle or an ensemble, checked and ready to compute; torch is imported here if it is what computes.

    Of an ensemble each member is computed by what is chosen for it, as if it were alone.

    Raises:
        BundleError: damaged, changed, or not a bundle.
        UsageError: no such device, runtime or precision here.
    """
    if is_ensemble(folder):
        from ich_seq.study.ensemble import EnsembleModel

        described = read_ensemble_info(folder)
        places = range(len(described.members))
        return EnsembleModel(described, [load_model(member_folder(folder, place), compute) for place in places])
    info = read_info(folder)
    choice = choose(folder, info, compute.runtime, compute.precision, compute.device)
    if choice.runtime == "openvino":
        from ich_seq.model.openvino_backend import OpenVinoModel

        return OpenVinoModel(folder, info, choice.precision, compute.jobs)
    from ich_seq.model.torch_backend import TorchModel
    from ich_seq.training.compute import Resolved, resolve_device, set_threads

    try:
        device = resolve_device(choice.device)
    except ValueError as error:
        raise UsageError(str(error)) from error
    set_threads(compute.jobs)
    precision: Resolved = "bf16" if choice.precision == "bf16" else "fp32"
    return TorchModel(read_bundle(folder), device, precision)


def reach_of(model: StudyModel) -> int:
    """How many slices on either side the model reads beside each."""
    return model.info.adjacent_slices


def use_of(model: StudyModel) -> ModelUse:
    """Which model computes, where and with what; of an ensemble each member too."""
    members = getattr(model, "members", ())
    return ModelUse(model.info, model.device, model.runtime, model.precision, tuple(map(use_of, members)))


def read_chunk(model: StudyModel, chunk: Chunk) -> tuple[Float32[np.ndarray, "s l"], Float32[np.ndarray, "s k"]]:
    """Stage one on the slices of a chunk that are asked for."""
    return model.read_slices(chunk.slices, chunk.asked) if reach_of(model) else model.read_slices(chunk.slices)
