"""Pretrained weights for the trunk: torchvision's own, a local file, or none."""

import hashlib
import pickle
import re
import socket
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights
from torchvision.models._api import WeightsEnum

from ich_seq.errors import WeightsError
from ich_seq.slices.network import DEMO_BACKBONE

DOWNLOAD_TIMEOUT_S = 20.0


def load_pretrained(trunk: nn.Module, backbone: str, source: str) -> str:
    """Fills `trunk` with pretrained weights and returns a sentence about where they come from.

    Args:
        trunk: as `build_backbone` makes it; its classifier is ignored.
        backbone: its name.
        source: `imagenet`, `none`, or the path of a state dict saved by torch.

    Raises:
        WeightsError: they cannot be had here (the message says which file to fetch and where to put it), or do not fit.
    """
    if source == "none":
        return "random initial weights"
    state, origin = _imagenet(backbone) if source == "imagenet" else _local(Path(source))
    _fill(trunk, state, origin)
    return f"weights from {origin}"


def _imagenet(backbone: str) -> tuple[dict[str, Tensor], str]:
    if backbone == DEMO_BACKBONE:
        raise WeightsError(f'{backbone} has no ImageNet weights; set cnn.weights to "none" or to a file')
    chosen: WeightsEnum = get_model_weights(backbone).DEFAULT  # type: ignore[attr-defined]
    file_name = chosen.url.rsplit("/", 1)[-1]
    place = Path(torch.hub.get_dir()) / "checkpoints" / file_name
    if place.exists():
        _check_published_hash(place)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        state = chosen.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"{file_name}: pretrained weights are not on this machine and cannot be downloaded ({error}); "
            f'fetch {chosen.url} elsewhere and put it at {place}, or set cnn.weights to a file or to "none"',
            path=place,
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    return dict(state), f"torchvision {chosen} ({file_name})"


def _check_published_hash(path: Path) -> None:
    """Refuses a cached download whose SHA-256 does not begin with the digits that torchvision publishes in its name."""
    published = re.search(r"-([0-9a-f]{8,})\.", path.name)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if published is None or not found.startswith(published.group(1)):
        raise WeightsError(
            f"{path}: SHA-256 {found[:8]}... is not the published one; remove the file and fetch it again"
        )


def _local(path: Path) -> tuple[dict[str, Tensor], str]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weights file (cnn.weights)", path=path) from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise WeightsError(
            f"{path}: not a state dict of plain tensors ({type(error).__name__}); save it with "
            "torch.save(network.state_dict(), path)",
            path=path,
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: holds no state dict of tensors", path=path)
    return state, path.name


def _fill(trunk: nn.Module, state: dict[str, Tensor], origin: str) -> None:
    wanted = {key: value for key, value in trunk.state_dict().items() if not key.startswith("fc.")}
    given = {key.removeprefix("module."): value for key, value in state.items()}
    missing = sorted(set(wanted) - set(given))
    wrong = sorted(key for key in wanted if key in given and given[key].shape != wanted[key].shape)
    if missing or wrong:
        detail = f"lacks {missing[0]}" if missing else f"has {wrong[0]} in another shape"
        raise WeightsError(
            f"{origin}: does not fit this network: {detail} ({len(missing) + len(wrong)} tensors in all)"
        )
    trunk.load_state_dict({key: given[key] for key in wanted}, strict=False)
