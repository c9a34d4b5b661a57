"""What 1, 2, 4, 8 and 16 times the data cost: seconds and peak memory of each command that a dataset goes through.

    .venv/bin/python -m benchmarks.linear_cost

The commands are those of a user, on generated files of 64 x 64 pixels and a tiny network, each a process of its own; the fit of
the PCA is the step of `extract-features` alone, over embeddings that are all generated. A quarter of an hour on two cores. Writes
`benchmarks/results/linear_cost.json` and `.md`.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import ICHSEQ, Timing, timed
from ich_seq.files import make_folder, write_json, write_text
from ich_seq.training.run import machine

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
TIMES = (1, 2, 4, 8, 16)
COMMANDS = ("index", "extract-features", "PCA", "train-lstm", "evaluate")
CONSTANT_MEMORY = ("index", "extract-features", "PCA")
TOLERANCE_MB = 40
"""By so much a peak may differ from run to run: what the allocator keeps, two buffers of a series read ahead."""
MOST_KB = 1.0
FULL_BLOCK, FROM = 4_096, 2
"""The PCA takes slices in blocks of so many: memory is judged from the size at which one is full, the third."""
MADE_ANEW = {"extract-features": ("features",), "train-lstm": ("stage_two",)}
"""What is removed before a command is run again."""
REPEATED = {"extract-features": 3, "train-lstm": 3, "evaluate": 3}
"""So often these are run, from the start, and the run with the median peak counts: theirs differ by 20 MB from run to run."""
HELD_BYTES = {"train-lstm": 40 * 4 + 2 * 6 * 4, "evaluate": 40 * 4 + 2 * 6 * 4}
"""What stage two holds of a slice: PCA coordinates, stage one's probabilities and labels, in float32."""
CONFIG = """
name = "linear_cost"
about = "A tiny network, one epoch of stage two: what a command costs by the number of slices."
[preprocess]
size = 32
[cnn]
backbone = "resnext14_8x4d"
weights = "none"
[features]
pca_components = 40
pca_slices = 1000000
[lstm]
hidden = 32
layers = 1
[train_lstm]
epochs = 1
batch_size = 4
"""


def write_files(work: Path, slices: int) -> Path:
    """A dataset in RSNA's layout with so many slices, 25 a scan."""
    from benchmarks.generated import Part, make_table, write_images

    series = slices // 25
    table = make_table((Part(max(1, series * 7 // 8), series, slices),), seed=slices)
    write_images(work / "root", table)
    return work / "root"


def begin(work: Path) -> None:
    """A run whose stage one has random weights."""
    from torch import manual_seed

    from ich_seq.cli.steps import begin_run
    from ich_seq.slices.network import SliceNet
    from ich_seq.slices.train import WEIGHTS_FILE
    from ich_seq.training.checkpoint import save_network

    write_text(work / "config.toml", CONFIG)
    run = begin_run(work / "run", str(work / "config.toml"), work / "table.parquet", None, "cpu", 1).run
    manual_seed(0)
    network = SliceNet(run.config.cnn.backbone, run.config.preprocess)
    save_network(network, make_folder(run.stage_one) / WEIGHTS_FILE)
    write_text(run.stage_one / "metrics.jsonl", json.dumps({"validation": {"loss": 1.0}}) + "\n")


def fit(work: Path) -> None:
    """The PCA over every generated embedding of `work`."""
    from ich_seq.embeddings.cache import open_cache
    from ich_seq.embeddings.fit_pca import fit_pca

    cache = open_cache(work / "generated")
    everyone = {cache.series_uid(place) for place in range(len(cache.index.parts))}
    fit_pca(cache, everyone, 40, cache.index.rows, seed=0)


def generate_embeddings(work: Path) -> None:
    """As many embeddings as the table has rows."""
    from benchmarks.generated import write_parts
    from ich_seq.embeddings.cache import write_index
    from ich_seq.manifest.table import read_table

    write_index(work / "generated", "e" * 64, write_parts(work / "generated", read_table(work / "table.parquet")))


def measure(work: Path, slices: int) -> dict[str, dict[str, float]]:
    """Each command once over so many slices."""
    jobs, root = str(len(os.sched_getaffinity(0))), write_files(work, slices)
    table, run = str(work / "table.parquet"), ("--run", str(work / "run"), "--jobs", jobs, "--quiet")
    ichseq_index = (*ICHSEQ, "index", "rsna2019", "--root", str(root), "--out", table, "--jobs", jobs, "--quiet")
    found = {"index": timed(ichseq_index, 1, warm_up=0)}
    begin(work)
    generate_embeddings(work)
    for command in COMMANDS[1:]:
        words = (
            (*ICHSEQ, command, *run)
            if command != "PCA"
            else (sys.executable, "-m", "benchmarks.linear_cost", "--fit", str(work))
        )
        found[command] = _one_of(command, words, work)
        print(
            f"{slices:>7} slices  {command:<17}{found[command].processor_s:8.1f} s{found[command].peak_mb:8.0f} MB",
            flush=True,
        )
    return {name: asdict(timing) for name, timing in found.items()}


def _one_of(command: str, words: tuple[str, ...], work: Path) -> Timing:
    turns = []
    for _ in range(REPEATED.get(command, 1)):
        for made in MADE_ANEW.get(command, ()):
            shutil.rmtree(work / "run" / made, ignore_errors=True)
        turns.append(timed(words, 1, cwd=PROJECT, warm_up=0))
    return sorted(turns, key=lambda timing: timing.peak_mb)[len(turns) // 2]


def verdicts(slices: list[int], rows: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, Any]]:
    """Of each command: a fixed cost and a cost a slice (least squares), each size's ratio to that line, and memory's growth.

    The lines are fitted to relative errors, so that the smallest size counts as much as the largest.
    """
    found = {}
    for name, cells in rows.items():
        seconds = np.array([cell["processor_s"] for cell in cells])
        terms = np.column_stack([np.ones(len(slices)), slices]) / seconds[:, None]
        fixed, each = np.linalg.lstsq(terms, np.ones(len(slices)), rcond=None)[0]
        peaks = np.array([cell["peak_mb"] for cell in cells])
        kb = float(np.polyfit(slices[FROM:], peaks[FROM:], 1)[0] * 1000)
        most = MOST_KB + HELD_BYTES.get(name, 0) / 1000
        grows_little = kb <= most if name not in CONSTANT_MEMORY else peaks[-1] - peaks[FROM] <= TOLERANCE_MB
        found[name] = {
            "fixed_s": float(fixed),
            "ms_a_slice": float(each * 1000),
            "ratio_to_line": (seconds / (fixed + each * np.array(slices))).tolist(),
            "kb_a_slice": kb,
            "memory_grows_by_mb": float(peaks[-1] - peaks[FROM]),
            "memory_held": bool(grows_little) if slices[FROM] >= FULL_BLOCK else None,
        }
    return found


def main() -> None:
    """Measures every size and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--slices", type=int, default=2_000, help="of the smallest size")
    parser.add_argument("--note", default="", help="a sentence on the circumstances, for the page")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.fit:
        fit(args.fit)
        return
    sizes, cells = [args.slices * times for times in TIMES], []
    for slices in sizes:
        work = Path(tempfile.mkdtemp(prefix="linear_cost_"))
        try:
            cells.append(measure(work, slices))
        finally:
            shutil.rmtree(work)
    rows = {name: [cell[name] for cell in cells] for name in COMMANDS}
    result = {"machine": machine(), "note": args.note, "slices": sizes, "rows": rows, "verdicts": verdicts(sizes, rows)}
    write_json(make_folder(args.out) / "linear_cost.json", result)
    write_text(args.out / "linear_cost.md", markdown(result))
    print(markdown(result))


def markdown(result: dict[str, Any]) -> str:
    """The page that is committed."""
    facts, sizes, judged = result["machine"], result["slices"], result["verdicts"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    head = " | ".join(f"{times}x" for times in TIMES)
    cost, ratio, memory = [], [], []
    for name, cells in result["rows"].items():
        each = judged[name]
        cost.append(
            [
                name,
                *(f"{cell['processor_s']:.1f} ({cell['median_s']:.0f})" for cell in cells),
                f"{each['fixed_s']:.1f}",
                f"{each['ms_a_slice']:.2f}",
            ]
        )
        ratio.append([name, *(f"{value:.2f}" for value in each["ratio_to_line"])])
        peaks = [f"{cell['peak_mb']:.0f}" for cell in cells]
        memory.append(
            [
                name,
                *peaks,
                f"{each['kb_a_slice']:+.2f}",
                _limit(name),
                {True: "yes", False: "no", None: "too few slices to judge"}[each["memory_held"]],
            ]
        )
    rule = " ---: |" * len(TIMES)
    return f"""# Cost from 1 to 16 times the data

`.venv/bin/python -m benchmarks.linear_cost` on {facts["cores"]} core(s) ({facts["system"]}), Python {facts["python"]}, {versions}.
{result["note"]}

Sizes: {", ".join(f"{slices:,}" for slices in sizes)} slices of 64 x 64 pixels, 25 a scan; each command is one process, its start
included. {", ".join(REPEATED)} run three times, and the run with the median peak counts; the others run once. The network is
tiny, so that what is measured is the handling of data; `PCA` is its fit alone over all slices.

Seconds of the processor, which other work on the machine hardly changes, with those of the clock in brackets; and the straight line
through the former (least squares of relative errors): a fixed cost, mostly imports, and a cost a slice.

| seconds | {head} | fixed s | ms a slice |
| --- |{rule} ---: | ---: |
{_lines(cost)}

Each time divided by that line:

| ratio | {head} |
| --- |{rule}
{_lines(ratio)}

Peak memory of the largest single process, judged from 4x on, where a block of {FULL_BLOCK:,} slices for the PCA is full. Stage two's
limit is {MOST_KB:.0f} kB a slice and the coordinates and labels that it holds; the others may grow by {TOLERANCE_MB} MB at most.
index and extract-features hold the table of slices, which is a part of what they grow by (0.22 kB a slice; reading one of 256,000
slices instead of 32,000 took 0.6 kB a slice more); the rest is what libraries keep. At RSNA's size the table, the cache's index and
the PCA together peak at 1.9 GB ([rsna_size.md](rsna_size.md)).

| peak MB | {head} | kB a slice | limit | held |
| --- |{rule} ---: | --- | --- |
{_lines(memory)}
"""


def _lines(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _limit(name: str) -> str:
    if name in CONSTANT_MEMORY:
        return "none"
    return f"{MOST_KB + HELD_BYTES[name] / 1000:.2f} kB a slice"


if __name__ == "__main__":
    main()
