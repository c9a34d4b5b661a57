"""Speed and memory of this machine, in one run: `make bench`.

Start-up of the light commands, the phantom at 256 and 512, and a full-size ResNeXt-101 with seeded weights on a whole scan. Writes
`benchmarks/results/bench.json` and `bench.md`. Uses the real RSNA series where it is at hand (ICHSEQ_REAL_DATA), else a synthetic one.
"""

import argparse
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.processes import ICHSEQ, Timing, timed
from ich_seq.config import CnnConfig, Config
from ich_seq.embeddings.pca import Pca
from ich_seq.files import make_folder, write_json, write_text
from ich_seq.model.bundle import TrainedOn, write_bundle
from ich_seq.model.card import model_card
from ich_seq.model.torch_backend import describe, pack_weights
from ich_seq.sequence.network import SequenceNet
from ich_seq.slices.network import SliceNet
from ich_seq.training.run import machine

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
REAL = Path(os.environ.get("ICHSEQ_REAL_DATA", PROJECT.parent / "shared" / "data")) / "rsna_series_ID_52c1ab5a"


def seeded_bundle(folder: Path, backbone: str = "resnext101_32x8d") -> Path:
    """A model with seeded random weights: the published BiLSTM behind ResNeXt-101 32x8d, the published size, or another backbone."""
    torch.manual_seed(0)
    config = Config(name="seeded", about="Random weights, for timing.", cnn=CnnConfig(backbone=backbone))
    cnn, lstm = SliceNet(config.cnn.backbone, config.preprocess).eval(), SequenceNet(120, config.lstm).eval()
    generator = np.random.default_rng(0)
    components = np.linalg.qr(generator.standard_normal((cnn.embedding_width, 120)))[0].T.astype(np.float32)
    pca = Pca(np.zeros(cnn.embedding_width, np.float32), np.ascontiguousarray(components), np.ones(120, np.float32))
    nobody = TrainedOn(dataset="none", description="Random weights.", patients=0, scans=0, slices=0, table_sha256="")
    weights = pack_weights(cnn, pca, lstm)
    info = describe(config, cnn, pca, nobody, {}, weights)
    write_bundle(folder, info, weights, model_card(info))
    return folder


def rows(work: Path, runs: int) -> dict[str, Timing]:
    """Each measured command by its title."""
    found = {
        "python -c pass (the interpreter alone)": timed((ICHSEQ[0], "-c", "pass"), runs),
        "ichseq --help": timed((*ICHSEQ, "--help"), runs),
        "ichseq --version": timed((*ICHSEQ, "--version"), runs),
    }
    for matrix in (256, 512):
        command = (*ICHSEQ, "phantom", "--studies", "60", "--slices", "32", "--matrix", str(matrix), "--jobs", "2")
        out = work / f"phantom_{matrix}"
        title = f"ichseq phantom: 60 scans of 32 slices at {matrix} x {matrix}, 2 processes"
        found[title] = timed((*command, "--quiet", "--out", str(out)), 1, warm_up=0)
    scan = REAL
    if not REAL.is_dir():
        scan = work / "one"
        timed(
            (*ICHSEQ, "phantom", "--studies", "1", "--slices", "32", "--matrix", "512", "--out", str(scan)),
            1,
            warm_up=0,
        )
    found["ichseq inspect STUDY, 32 slices at 512 x 512"] = timed((*ICHSEQ, "inspect", str(scan)), runs)
    model = seeded_bundle(work / "model")
    found["ichseq inspect MODEL, full size"] = timed((*ICHSEQ, "inspect", str(model)), runs)
    command = (*ICHSEQ, "score-study", str(scan), "--model", str(model), "--out", str(work / "scored"), "--quiet")
    found["ichseq score-study, ResNeXt-101 in fp32, 32 slices, cold process, report included"] = timed(command, runs)
    return found


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    make_folder(args.out)
    with tempfile.TemporaryDirectory() as work:
        found = rows(Path(work), args.runs)
    result: dict[str, Any] = {"machine": machine(), "rows": {title: asdict(timing) for title, timing in found.items()}}
    write_json(args.out / "bench.json", result)
    page = markdown(result["machine"], found)
    write_text(args.out / "bench.md", page)
    print(page)


def markdown(facts: dict[str, Any], found: dict[str, Timing]) -> str:
    """The table that is committed."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    lines = "\n".join(
        f"| {title} | {row.median_s:.2f} | {row.fastest_s:.2f} to {row.slowest_s:.2f} | {row.peak_mb:.0f} | {row.runs} |"
        for title, row in found.items()
    )
    return f"""# Speed and memory

`make bench` on {facts["cores"]} cores ({facts["system"]}), Python {facts["python"]}, {versions}. Whole processes; each is run once
before counting, but for the phantom.

| command | median s | range s | peak MB | runs |
| --- | ---: | ---: | ---: | ---: |
{lines}
"""


if __name__ == "__main__":
    main()
