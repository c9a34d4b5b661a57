"""Pretrained weights for the trunk: torchvision's own once their published hash is checked, a safetensors file, or none."""

import hashlib
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights
from torchvision.models._api import WeightsEnum

from ich_seq.distrust import DamagedError
from ich_seq.errors import WeightsError
from ich_seq.slices.backbones import OURS
from ich_seq.tensors import read_tensors

DOWNLOAD_TIMEOUT_S = 20.0
_RGB = 3
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""torchvision's DenseNet files say `norm.1` where its network says `norm1`."""


def load_pretrained(trunk: nn.Module, backbone: str, source: str) -> str:
    """Fills `trunk` with pretrained weights and returns a sentence about where they come from.

    Args:
        trunk: as `build_backbone` makes it; its classifier is ignored. Where it reads another number of channels than the file's
            three (one window, windows of neighbours) it gets those three in turn, or their mean where three do not divide it, scaled
            so that grey gives what it gave.
        backbone: its name.
        source: `imagenet`, `none`, or the path of a safetensors file, or of one that torchvision published for this backbone.

    Raises:
        WeightsError: they cannot be had here (the message says which file to fetch and where to put it), or do not fit.
    """
    if source == "none":
        return "random initial weights"
    state, origin = _imagenet(backbone) if source == "imagenet" else _local(Path(source), backbone)
    spread = _fill(trunk, state, origin)
    return f"weights from {origin}" + (f", its {_RGB} input channels spread over {spread}" if spread else "")


def _imagenet(backbone: str) -> tuple[dict[str, Tensor], str]:
    if backbone in OURS:
        raise WeightsError(f'{backbone} has no ImageNet weights; set cnn.weights to "none" or to a file')
    chosen: WeightsEnum = get_model_weights(backbone).DEFAULT  # type: ignore[attr-defined]
    file_name = chosen.url.rsplit("/", 1)[-1]
    place = Path(torch.hub.get_dir()) / "checkpoints" / file_name
    if not place.exists():
        _download(chosen.url, place)
    return _published_state(place, [chosen]), f"torchvision {chosen} ({file_name})"


def _download(url: str, place: Path) -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(place), hash_prefix=_published_digits(url), progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"{place.name}: pretrained weights are not on this machine and cannot be downloaded ({error}); "
            f'fetch {url} elsewhere and put it at {place}, or set cnn.weights to a file or to "none"',
            path=place,
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _published_digits(url: str) -> str:
    """The first digits of the SHA-256 that torchvision publishes in the name of each of its files."""
    digits = re.search(r"-([0-9a-f]{8,})\.", url)
    if digits is None:
        raise WeightsError(f"{url}: torchvision publishes no SHA-256 with it; set cnn.weights to a safetensors file")
    return digits.group(1)


def _published_state(path: Path, published: Sequence[WeightsEnum]) -> dict[str, Tensor]:
    """What torchvision published, read only once its SHA-256 is seen to be a published one."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if not any(found.startswith(_published_digits(each.url)) for each in published):
                raise WeightsError(
                    f"{path}: SHA-256 {found[:8]}... is not the published one; remove the file and fetch it again, or give "
                    "weights of your own as safetensors: safetensors.torch.save_file(network.state_dict(), 'own.safetensors')",
                    path=path,
                )
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weights file (cnn.weights)", path=path) from None
    except (UnpicklingError, RuntimeError, EOFError, OSError, LookupError, ValueError, TypeError) as error:
        raise WeightsError(f"{path}: not readable ({type(error).__name__}); fetch it again", path=path) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: holds no state dict of tensors", path=path)
    return dict(state)


def _local(path: Path, backbone: str) -> tuple[dict[str, Tensor], str]:
    """Weights of one's own are safetensors; a file of torch's is one that torchvision published for this network."""
    if path.suffix != ".safetensors":
        published = [] if backbone in OURS else list(get_model_weights(backbone))
        return _published_state(path, published), path.name
    try:
        arrays = read_tensors(path, must_be_sealed=False)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weights file (cnn.weights)", path=path) from None
    except DamagedError as error:
        raise WeightsError(f"{path}: {error}; save it again with safetensors.torch.save_file", path=path) from error
    return {name: torch.from_numpy(values) for name, values in arrays.items()}, path.name


def _fill(trunk: nn.Module, state: dict[str, Tensor], origin: str) -> int:
    """Fills the trunk, and returns its input channels where the file's three were spread over another number, else 0."""
    wanted = {key: value for key, value in trunk.state_dict().items() if not key.startswith("fc.")}
    given = {_OLD_DENSENET.sub(r"\1\2", key.removeprefix("module.")): value for key, value in state.items()}
    spread = 0
    for key in _first_layer(wanted, given):
        spread = wanted[key].shape[1]
        whole = given[key].mean(dim=1, keepdim=True) if spread % _RGB else given[key]
        given[key] = whole.repeat(1, -(-spread // whole.shape[1]), 1, 1)[:, :spread] * (_RGB / spread)
    # Files from before torch 0.4 do not count batches; nothing here reads that count.
    missing = sorted(key for key in set(wanted) - set(given) if not key.endswith("num_batches_tracked"))
    wrong = sorted(key for key in wanted if key in given and given[key].shape != wanted[key].shape)
    if missing or wrong:
        detail = f"lacks {missing[0]}" if missing else f"has {wrong[0]} in another shape"
        raise WeightsError(
            f"{origin}: does not fit this network: {detail} ({len(missing) + len(wrong)} tensors in all)"
        )
    trunk.load_state_dict({key: given[key] for key in wanted if key in given}, strict=False)
    return spread


def _first_layer(wanted: dict[str, Tensor], given: dict[str, Tensor]) -> list[str]:
    """The convolution that reads three channels in the file and another number here, if it is the only tensor that differs."""
    differ = [key for key in wanted if key in given and given[key].shape != wanted[key].shape]
    if len(differ) != 1:
        return []
    own, file = wanted[differ[0]].shape, given[differ[0]].shape
    return differ if len(own) == 4 and file[1] == _RGB and (own[0], *own[2:]) == (file[0], *file[2:]) else []
