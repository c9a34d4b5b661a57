"""Pretrained weights: local files, torchvision's place, and what is said where there are none."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ich_seq.errors import WeightsError
from ich_seq.slices.backbones import build_backbone
from ich_seq.slices.weights import load_pretrained


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No network at all, and an empty folder for downloads."""
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def contiguous(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A state dict as safetensors takes it: the trunk's own is channels-last."""
    return {name: tensor.contiguous() for name, tensor in network.state_dict().items()}


def test_a_local_state_dict_fills_the_trunk_whatever_its_classifier(tmp_path: Path) -> None:
    torch.manual_seed(1)
    given = build_backbone("resnet18")
    save_file(contiguous(given), tmp_path / "mine.safetensors")
    torch.manual_seed(2)
    trunk = build_backbone("resnet18")
    trunk.fc = torch.nn.Identity()  # type: ignore[assignment]
    assert load_pretrained(trunk, "resnet18", str(tmp_path / "mine.safetensors")) == "weights from mine.safetensors"
    assert torch.equal(trunk.conv1.weight, given.conv1.weight)


@pytest.mark.parametrize("backbone", ["resnet18", "densenet121", "efficientnet_b0", "vgg16"])
@pytest.mark.parametrize("channels", [1, 2, 9])
def test_other_channels_than_three_get_weights_under_which_grey_gives_what_it_gave(
    tmp_path: Path, backbone: str, channels: int
) -> None:
    given = build_backbone(backbone)
    save_file(contiguous(given), tmp_path / "mine.safetensors")
    trunk = build_backbone(backbone, channels)
    said = load_pretrained(trunk, backbone, str(tmp_path / "mine.safetensors"))
    assert said == f"weights from mine.safetensors, its 3 input channels spread over {channels}"
    first, own = (
        next(layer for layer in net.modules() if isinstance(layer, torch.nn.Conv2d)) for net in (given, trunk)
    )
    grey = torch.randn(2, 1, 12, 12)
    assert torch.allclose(first(grey.expand(-1, 3, -1, -1)), own(grey.expand(-1, channels, -1, -1)), atol=1e-5)


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    save_file(contiguous(build_backbone("resnet18")), tmp_path / "mine.safetensors")
    with pytest.raises(WeightsError, match=r"mine\.safetensors: does not fit this network: lacks"):
        load_pretrained(build_backbone("resnet50"), "resnet50", str(tmp_path / "mine.safetensors"))


def test_a_pickle_that_is_no_state_dict_is_refused_and_not_run(tmp_path: Path) -> None:
    import pickle

    marker = tmp_path / "was_run"

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (marker,)  # type: ignore[return-value]

    (tmp_path / "mine.pth").write_bytes(pickle.dumps(Hostile(), protocol=2))
    with pytest.raises(WeightsError, match="is not the published one; .*weights of your own as safetensors"):
        load_pretrained(build_backbone("resnet18"), "resnet18", str(tmp_path / "mine.pth"))
    assert not marker.exists()


def test_a_state_dict_of_torchs_is_read_only_if_torchvision_published_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.models import ResNet18_Weights

    given, path = build_backbone("resnet18"), tmp_path / "mine.pth"
    torch.save(given.state_dict(), path)
    with pytest.raises(WeightsError, match=r"mine\.pth: SHA-256 .* is not the published one"):
        load_pretrained(build_backbone("resnet18"), "resnet18", str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    monkeypatch.setitem(vars(ResNet18_Weights.DEFAULT.value), "url", f"https://example.invalid/resnet18-{digest}.pth")
    trunk = build_backbone("resnet18")
    load_pretrained(trunk, "resnet18", str(path))
    assert torch.equal(trunk.conv1.weight, given.conv1.weight)


def test_a_missing_local_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="absent.pth: no such weights file"):
        load_pretrained(build_backbone("resnet18"), "resnet18", str(tmp_path / "absent.pth"))


def test_offline_one_error_names_the_file_and_where_to_put_it(offline: Path) -> None:
    with pytest.raises(WeightsError, match=r"resnext101_32x8d-\w+\.pth.*put it at") as caught:
        load_pretrained(torch.nn.Identity(), "resnext101_32x8d", "imagenet")
    assert str(offline) in str(caught.value)


def test_a_file_put_there_by_hand_is_used_if_its_hash_is_the_published_one(
    offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real loader runs; only the address that it would fetch bears the hash of weights made here."""
    from torchvision.models import ResNet18_Weights

    given = build_backbone("resnet18")
    offline.mkdir(parents=True)
    torch.save(given.state_dict(), offline / "made.pth")
    digest = hashlib.sha256((offline / "made.pth").read_bytes()).hexdigest()[:8]
    (offline / "made.pth").rename(offline / f"resnet18-{digest}.pth")
    weights = ResNet18_Weights.DEFAULT.value
    monkeypatch.setitem(vars(weights), "url", f"https://example.invalid/resnet18-{digest}.pth")
    trunk = build_backbone("resnet18")
    assert "resnet18" in load_pretrained(trunk, "resnet18", "imagenet")
    assert torch.equal(trunk.conv1.weight, given.conv1.weight)


def test_a_damaged_download_is_refused(offline: Path) -> None:
    offline.mkdir(parents=True)
    (offline / "resnet18-f37072fd.pth").write_bytes(b"half a download")
    with pytest.raises(WeightsError, match="is not the published one; remove the file"):
        load_pretrained(build_backbone("resnet18"), "resnet18", "imagenet")


def test_the_old_names_of_published_densenets_fit_without_counts_of_batches(tmp_path: Path) -> None:
    def layer() -> torch.nn.Module:
        parts = torch.nn.ModuleDict({"norm1": torch.nn.BatchNorm2d(3), "conv2": torch.nn.Conv2d(3, 3, 1, bias=False)})
        return torch.nn.ModuleDict({"features": torch.nn.ModuleDict({"denselayer1": parts})})

    torch.manual_seed(1)
    given, trunk = layer(), layer()
    state = {name: torch.rand_like(tensor) for name, tensor in given.state_dict().items() if "num_batches" not in name}
    old = {name.replace("norm1", "norm.1").replace("conv2", "conv.2"): tensor for name, tensor in state.items()}
    save_file(old, tmp_path / "old.safetensors")
    load_pretrained(trunk, "densenet121", str(tmp_path / "old.safetensors"))
    filled = trunk.state_dict()
    assert all(torch.equal(filled[name], tensor) for name, tensor in state.items())
