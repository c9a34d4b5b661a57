"""Torch and OpenVINO side by side on this machine: `python -m benchmarks.runtimes`.

A full ResNeXt-101 32x8d + BiLSTM with seeded weights reads the same slices by each way in turn, round after round, so that whatever
else the machine does falls on all alike; each round's ratio to the first way (torch, fp32, eager, default layout, one slice after
another, as published code does) is what counts. Then whole processes, from the command to the report. int8 is calibrated on
synthetic slices and passes no gate here: its speed is measured, not its loss. Writes `benchmarks/results/runtimes.json` and `.md`.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.processes import ICHSEQ, timed
from benchmarks.run import REAL, RESULTS, seeded_bundle
from ich_seq.files import make_folder, write_json, write_text
from ich_seq.model.bundle import read_bundle, read_info, write_info
from ich_seq.model.export import export, synthetic_slices, write_graph
from ich_seq.model.openvino_backend import Computed, OpenVinoModel, machine_has_bf16
from ich_seq.model.quantise import quantise
from ich_seq.model.torch_backend import TorchModel
from ich_seq.training.compute import set_threads
from ich_seq.training.run import machine
from ich_seq.volume import Slice

Way = Callable[[list[Slice]], object]
_AS_PUBLISHED = "torch fp32, default layout, one slice after another"


def ways(folder: Path, jobs: int) -> dict[str, Way]:
    """Each way to read slices, by its title; the first is the baseline."""
    as_published, ours = (TorchModel(read_bundle(folder)) for _ in range(2))
    as_published.cnn.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    @torch.inference_mode()
    def published(slices: list[Slice]) -> None:
        for hu in slices:
            network = as_published.cnn
            tile = network.preprocess(network.preprocess.tiles(torch.from_numpy(hu).unsqueeze(0)))
            network.head(network.backbone(tile))

    found: dict[str, Way] = {_AS_PUBLISHED: published, "torch fp32, channels last, all at once": ours.read_slices}
    precisions: tuple[Computed, ...] = ("fp32", "bf16", "int8") if machine_has_bf16() else ("fp32", "int8")
    info = read_info(folder)
    for precision in precisions:
        found[f"OpenVINO {precision}"] = OpenVinoModel(folder, info, precision, jobs).read_slices
    return found


def add_int8(folder: Path) -> None:
    """An int8 graph for its speed alone, calibrated on eight synthetic slices."""
    info = read_info(folder)
    if info.exported is None:
        raise ValueError("export first")
    model = OpenVinoModel(folder, info, "fp32", jobs=1)
    tiles = [model.tiles(hu) for hu in synthetic_slices([(512, 512)] * 8)]
    digests = write_graph(folder, "slices_int8", quantise(folder, info, info.exported, tiles, 0))
    graphs = {**info.exported.graphs, "slices_int8": digests}
    write_info(folder, info.model_copy(update={"exported": info.exported.model_copy(update={"graphs": graphs})}))


def alternate(found: dict[str, Way], slices: list[Slice], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds a slice, and how many times as fast as the first way in the same round: medians and quartiles."""
    taken: dict[str, list[float]] = {title: [] for title in found}
    for turn in range(rounds + 1):
        for title, read in found.items():
            started = time.perf_counter()
            read(slices)
            if turn:  # the first round warms up
                taken[title].append(1000 * (time.perf_counter() - started) / len(slices))
    baseline = taken[_AS_PUBLISHED]
    rows = {}
    for title, each in taken.items():
        ratios = sorted(before / now for before, now in zip(baseline, each, strict=True))
        low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        rows[title] = {
            "ms_a_slice": statistics.median(each),
            "times_as_fast": statistics.median(ratios),
            "quartile_low": low,
            "quartile_high": high,
        }
    return rows


def whole_processes(folder: Path, scan: Path, work: Path, asked: argparse.Namespace) -> dict[str, dict[str, float]]:
    """`ichseq score-study` from nothing to its report, each way in turn: seconds, seconds of the processor, peak memory."""
    choices = [("torch", "fp32"), ("openvino", "fp32"), ("openvino", "int8")]
    if machine_has_bf16():
        choices.insert(2, ("openvino", "bf16"))
    taken: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(asked.rounds):
        for runtime, precision in choices:
            words = ("--runtime", runtime, "--precision", precision, "--device", "cpu", "--jobs", str(asked.jobs))
            command = (*ICHSEQ, "score-study", str(scan), "--model", str(folder), "--out", str(work / "out"))
            once = timed((*command, *words, "--quiet"), 1, warm_up=0)
            taken.setdefault(f"{runtime} {precision}", []).append((once.median_s, once.processor_s, once.peak_mb))
    names = ("seconds", "processor_s", "peak_mb")
    return {
        title: {name: statistics.median(values) for name, values in zip(names, zip(*runs, strict=True), strict=True)}
        for title, runs in taken.items()
    }


def markdown(result: dict[str, Any]) -> str:
    """The page."""
    facts = result["machine"]
    reading = "\n".join(
        f"| {title} | {row['ms_a_slice']:.0f} | {row['times_as_fast']:.2f} ({row['quartile_low']:.2f} to {row['quartile_high']:.2f}) |"
        for title, row in result["slices"].items()
    )
    processes = "\n".join(
        f"| {title} | {row['seconds']:.1f} | {row['processor_s']:.1f} | {row['peak_mb']:.0f} |"
        for title, row in result["processes"].items()
    )
    return f"""# Torch and OpenVINO on one machine

{result["note"]}

{facts["system"]}, {facts["cores"]} cores, {result["threads"]} threads; {result["count"]} slices of 512 x 512, warm,
{result["rounds"]} rounds in which each way had its turn. {result["backbone"]} at 256 px,
seeded weights. Ratios are within a round: median and quartiles.

| way | ms a slice | times as fast as published |
| --- | --- | --- |
{reading}

Whole processes, from the command to the report, on {result["scan"]}; the disk's cache is warm, nothing else is.

| runtime and precision | seconds | of the processor | peak MB |
| --- | --- | --- | --- |
{processes}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each way has its turn")
    parser.add_argument("--slices", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="threads")
    parser.add_argument("--backbone", default="resnext101_32x8d")
    parser.add_argument("--note", default="", help="what the reader must know of the machine at that time")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    make_folder(asked.out)
    set_threads(asked.jobs)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        bundle = seeded_bundle(work / "model", asked.backbone)
        export(bundle, onnx=False)
        add_int8(bundle)
        scan, title = REAL, "the real series of 32 slices"
        if not scan.is_dir():
            scan, title = work / "phantom", "a synthetic scan of 32 slices"
            words = ("phantom", "--studies", "1", "--slices", "32", "--matrix", "512", "--out", str(scan), "--quiet")
            timed((*ICHSEQ, *words), 1, warm_up=0)
        found = ways(bundle, asked.jobs)
        slices = alternate(found, synthetic_slices([(512, 512)] * asked.slices), asked.rounds)
        del found
        processes = whole_processes(bundle, scan, work, asked)
    result = {
        "machine": machine(),
        "note": asked.note,
        "threads": asked.jobs,
        "rounds": asked.rounds,
        "count": asked.slices,
        "scan": title,
        "backbone": asked.backbone,
        "slices": slices,
        "processes": processes,
    }
    write_json(asked.out / "runtimes.json", result)
    write_text(asked.out / "runtimes.md", markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
