"""Checkpoints that survive a kill: written beside their place, flushed, renamed; read without pickles' freedom."""

import hashlib
import os
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from ich_seq.distrust import DamagedError, open_own
from ich_seq.errors import CheckpointError
from ich_seq.files import replacing, write_bytes
from ich_seq.tensors import read_tensors, save_tensors

FORMAT = 2
"""2: the file ends with its own digest."""
_MOST_BYTES = 1 << 40
_COMMENT = (64).to_bytes(2, "little")
"""The length of a zip's comment, its last field: 64 hexadecimal digits."""
_UNUSABLE = (
    *(
        UnpicklingError,
        zipfile.BadZipFile,
        RuntimeError,
        EOFError,
        OSError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
    ),
    *(AssertionError, MemoryError),
)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes `state` (tensors, numbers, strings, lists and dicts of them) whole or not at all, with its digest.

    torch checks nothing of what it reads, so the zip that it writes gets a comment: the SHA-256 of all bytes before.

    Raises:
        OutputError: disk full or folder not writable; the checkpoint before stays as it was.
    """
    # Through a file of Python's: torch's own writer says nothing of why a write failed.
    with replacing(path) as temporary, temporary.open("w+b") as file:
        torch.save({"format": FORMAT, **state}, file)
        end = file.seek(-len(_COMMENT), os.SEEK_END)
        if file.read() != bytes(2):
            raise RuntimeError("torch.save wrote a zip with a comment")
        digest = _digest(file, end)
        file.seek(end)
        file.write(_COMMENT + digest)


def _digest(file: BinaryIO, end: int) -> bytes:
    """SHA-256 of the first `end` bytes, as 64 hexadecimal digits."""
    digest, left = hashlib.sha256(), end
    file.seek(0)
    while left and (block := file.read(min(left, 1 << 20))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest().encode()


def _check(file: BinaryIO) -> None:
    """Its digest fits, and it is a zip of plain members, each once: nothing in it inflates."""
    size = os.fstat(file.fileno()).st_size
    end = size - len(_COMMENT) - 64
    if end < 0:
        raise DamagedError("too short")
    digest = _digest(file, end)
    if file.read(len(_COMMENT) + 64) != _COMMENT + digest:
        raise DamagedError("cut short or changed since it was written: its SHA-256 does not fit")
    members = zipfile.ZipFile(file).infolist()
    if len({member.filename for member in members}) != len(members):
        raise DamagedError("a member stands twice")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise DamagedError("its members are compressed, which torch never does")
    file.seek(0)


def load_checkpoint(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The state saved at `path`, on the CPU, or None where there is no checkpoint.

    Args:
        path: the checkpoint.
        fingerprint: what the run was started with (config, data); a checkpoint of another is refused.

    Raises:
        CheckpointError: the file is damaged, or belongs to a run with another config or other data.
    """
    try:
        with open_own(path, _MOST_BYTES) as file:
            _check(file)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except _UNUSABLE as error:
        why = error if isinstance(error, DamagedError) else type(error).__name__
        raise CheckpointError(
            f"{path}: damaged checkpoint ({why}); remove it to start this step again", path=path
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
    _check_finite(path, state.get("network"))
    return state


def _check_finite(path: Path, network: Any) -> None:
    if not isinstance(network, dict) or not all(isinstance(value, Tensor) for value in network.values()):
        raise CheckpointError(f"{path}: holds no network; remove it to start this step again", path=path)
    for name, value in network.items():
        if not torch.isfinite(value).all():
            raise CheckpointError(
                f"{path}: {name} holds NaN or infinity; remove it to start this step again", path=path
            )


def save_network(network: nn.Module, path: Path) -> None:
    """Writes a network's weights as safetensors with their digest, whole or not at all.

    Raises:
        OutputError: disk full or folder not writable.
    """
    write_bytes(
        path, save_tensors({name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()})
    )


def load_tensors(path: Path, again: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file of a run, on the CPU; `again` is the command that makes the file anew.

    Raises:
        CheckpointError: the file is damaged, or was changed since it was written.
    """
    try:
        return {name: torch.from_numpy(values) for name, values in read_tensors(path).items()}
    except (FileNotFoundError, DamagedError) as error:
        why = "missing" if isinstance(error, FileNotFoundError) else f"damaged ({error})"
        raise CheckpointError(f"{path}: {why}; remove it and run `{again}` again", path=path) from error


def fill_network(network: nn.Module, path: Path, again: str) -> None:
    """Fills a network with the weights of a run's safetensors file.

    Raises:
        CheckpointError: the file is damaged, or belongs to another network.
    """
    tensors = load_tensors(path, again)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise CheckpointError(
            f"{path}: does not fit the run's config ({first}); remove it and run `{again}` again", path=path
        ) from error
