"""Checkpoints that survive a kill: written beside their place, flushed, renamed; read without pickles' freedom."""

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ich_seq.errors import CheckpointError
from ich_seq.files import replacing

FORMAT = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes `state` (tensors, numbers, strings, lists and dicts of them) whole or not at all.

    Raises:
        OutputError: disk full or folder not writable; the checkpoint before stays as it was.
    """
    # Through a file of Python's: torch's own writer says nothing of why a write failed.
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save({"format": FORMAT, **state}, file)


def load_checkpoint(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The state saved at `path`, on the CPU, or None where there is no checkpoint.

    Args:
        path: the checkpoint.
        fingerprint: what the run was started with (config, data); a checkpoint of another is refused.

    Raises:
        CheckpointError: the file is damaged, or belongs to a run with another config or other data.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path}: damaged checkpoint ({type(error).__name__}); remove it to start this step again",
            path=path,
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: not a checkpoint of this version of ichseq; remove it to start again", path=path
        )
    if state.get("fingerprint") != fingerprint:
        raise CheckpointError(
            f"{path}: made with another config or other data; choose another --run, or remove the folder to start again",
            path=path,
        )
    return state


def load_tensors(path: Path, again: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file of a run, on the CPU; `again` is the command that makes the file anew.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); remove it and run `{again}` again", path=path) from error


def fill_network(network: nn.Module, path: Path, again: str) -> None:
    """Fills a network with the weights of a run's safetensors file.

    Raises:
        CheckpointError: the file is damaged, or belongs to another network.
    """
    try:
        network.load_state_dict(load_tensors(path, again))
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise CheckpointError(
            f"{path}: does not fit the run's config ({first}); remove it and run `{again}` again", path=path
        ) from error
