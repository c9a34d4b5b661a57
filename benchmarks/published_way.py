"""The published code's way through one study, written anew from the steps that the winners' notebooks and scripts share.

    python -m benchmarks.published_way STUDY MODEL OUT

1. Read every file with pydicom, sort by ImagePositionPatient, stored values to HU.
2. Window each slice three times at its full size in numpy (brain, subdural, soft tissue), as the channels of one picture.
3. Resize it in torch, normalise it, and put it through the network in fp32: eager, in torch's default layout, one after another.
4. PCA, then the BiLSTM over the scan; write a CSV.

It has no checks, draws no report and knows one kind of model: the windows, the size, and the weights of a bundle made here.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import pydicom
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn import functional

from ich_seq.labels import LABEL_NAMES
from ich_seq.model.bundle import read_bundle
from ich_seq.model.torch_backend import TorchModel
from ich_seq.volume import Slice

_WINDOWS = ((40, 80), (80, 200), (40, 380))


def published_model(folder: Path) -> TorchModel:
    """A bundle's networks in torch's default layout."""
    model = TorchModel(read_bundle(folder))
    model.cnn.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return model


def read_hu(study: Path) -> list[Slice]:
    """The slices of a folder in HU, feet to head."""
    files = [pydicom.dcmread(path) for path in sorted(study.rglob("*.dcm"))]
    files.sort(key=lambda file: float(file.ImagePositionPatient[2]))
    return [
        file.pixel_array.astype(np.float32) * float(file.RescaleSlope) + float(file.RescaleIntercept) for file in files
    ]


def tile(hu: Slice, size: int) -> Float32[Tensor, "1 3 size size"]:
    """Three windows at full size, resized."""
    channels = [np.clip((hu - (level - width / 2)) / width, 0, 1) for level, width in _WINDOWS]
    picture = torch.from_numpy(np.stack(channels).astype(np.float32)).unsqueeze(0)
    return functional.interpolate(picture, (size, size), mode="bilinear", align_corners=False)


@torch.inference_mode()
def stage_one(model: TorchModel, slices: list[Slice]) -> tuple[Float32[np.ndarray, "s l"], Float32[np.ndarray, "s d"]]:
    """Probabilities and embeddings, one slice after another."""
    prob, embedding = [], []
    for hu in slices:
        network = model.cnn
        normalised = network.preprocess(tile(hu, network.preprocess.size))
        pooled = network.backbone(normalised)
        prob.append(torch.sigmoid(network.head(pooled)).numpy())
        embedding.append(pooled.numpy())
    return np.concatenate(prob), np.concatenate(embedding)


def main() -> None:
    """Scores one study."""
    study, folder, out = map(Path, sys.argv[1:])
    model = published_model(folder)
    prob, embedding = stage_one(model, read_hu(study))
    refined = model.refine(model.pca.reduce(embedding), prob)
    with out.open("w", newline="") as file:
        csv.writer(file).writerows([LABEL_NAMES, *refined.tolist()])


if __name__ == "__main__":
    main()
