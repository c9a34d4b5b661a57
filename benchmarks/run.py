"""Speed and memory of this machine, in one run: `make bench`, about half an hour on two cores.

A full-size ResNeXt-101 32x8d + BiLSTM with seeded weights on a scan of 32 slices: the published way against each of ours, as whole
processes and slice by slice, alternated; the machine's matrix peak and the share that is used; a cold start by phase; many
studies; cores; lengths; reading; what limits extraction and training. Uses the real RSNA series where it is at hand
(ICHSEQ_REAL_DATA), else a synthetic one, and the demo's model where `make demo` has been. Writes `benchmarks/results/bench.json`
and `bench.md`, and the README's table.
"""

import argparse
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.bench_input import light_commands, limits, reading
from benchmarks.bench_page import markdown, parts_of, put_into, readme_table
from benchmarks.bench_precision import trained
from benchmarks.bench_row import Part
from benchmarks.bench_scoring import (
    Bench,
    cold_start,
    cores_and_lengths,
    lengths,
    machine_ways,
    many_studies,
    warm_slices,
    whole_processes,
)
from benchmarks.matrix_peak import matrix_peaks
from benchmarks.seeded import PROJECT, RESULTS, add_int8, scan_of_32, seeded_bundle
from ich_seq.files import make_folder, write_json, write_text
from ich_seq.model.export import export
from ich_seq.training.compute import set_threads
from ich_seq.training.run import machine

PUBLISHED = "resnext101_32x8d"
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def measure(bench: Bench, runs: list[Path], only: list[str], peaks: dict[str, float]) -> Iterator[Part]:
    """Every part, or those whose function is named."""
    parts: dict[str, Callable[[], Part]] = {
        "whole_processes": lambda: whole_processes(bench),
        "warm_slices": lambda: warm_slices(bench, peaks),
        "cold_start": lambda: cold_start(bench),
        "many_studies": lambda: many_studies(bench),
        "cores_and_lengths": lambda: cores_and_lengths(bench),
        "lengths": lambda: lengths(bench),
        "light_commands": lambda: light_commands(bench),
        "reading": lambda: reading(bench),
        "limits": lambda: limits(bench),
    }
    for run in runs:
        parts[f"trained {run.name}"] = lambda run=run: trained(run, bench.work, bench.cores)
    for name, part in parts.items():
        if not only or name.split()[0] in only:
            print(f"{name} ...", flush=True)
            yield part()


def this_machine(note: str) -> dict[str, Any]:
    """Versions, cores, the processor by name and what it multiplies with."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = re.search(r"^model name\s*: (.*)$", text, flags=re.MULTILINE)
    flags = set(text.split())
    features = ", ".join(each for each in _FEATURES if each in flags) or "no vector extensions that we look for"
    packages = {**machine()["packages"], **{name: version(name) for name in ("openvino", "nncf")}}
    return {
        **machine(),
        "packages": packages,
        "processor": name[1].strip() if name else "a processor",
        "features": features,
        "note": note,
    }


def write(out: Path, network: str, scan: str, facts: dict[str, Any], peaks: dict[str, float], parts: list[Part]) -> str:
    """The JSON and the page, whose text is returned; of the published network in the project's own results, the README's table too."""
    result = {"machine": facts, "scan": scan, "matrix_tflops": peaks, "parts": [asdict(part) for part in parts]}
    page = markdown(facts, f"{network} at 256 px", scan, parts)
    write_json(out / "bench.json", result)
    write_text(out / "bench.md", page)
    if out == RESULTS and network == PUBLISHED:
        readme = PROJECT / "README.md"
        write_text(readme, put_into(readme.read_text(encoding="utf-8"), readme_table(facts, parts)))
    return page


def _those_there(out: Path) -> tuple[dict[str, float], list[Part]]:
    """Matrix peaks and parts of the page that is there; none where there is no such page."""
    path = out / "bench.json"
    result = json.loads(path.read_text()) if path.exists() else {}
    return result.get("matrix_tflops", {}), parts_of({"parts": result.get("parts", [])})


def _among(there: list[Part], own: list[Part]) -> list[Part]:
    """`own` instead of those of the same title, or after them."""
    new = {part.title: part for part in own}
    return [new.pop(part.title, part) for part in there] + list(new.values())


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each way has its turn")
    parser.add_argument("--backbone", default=PUBLISHED)
    parser.add_argument("--run", type=Path, action="append", help="whose trained model tries precisions; repeat it")
    parser.add_argument(
        "--only", action="append", default=[], help="measure this part alone, for the page that is there; repeat it"
    )
    parser.add_argument("--note", default="", help="what the reader must know of the machine at that time")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    make_folder(args.out)
    cores = len(os.sched_getaffinity(0))
    set_threads(cores)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        model = seeded_bundle(work / "model", args.backbone)
        export(model, onnx=False)
        add_int8(model)
        scan, title = scan_of_32(work)
        bench = Bench(model, scan, work, machine_ways(), cores, args.rounds)
        demo = PROJECT / "runs" / "demo"
        runs = args.run or ([demo] if demo.is_dir() else [])
        facts, (peaks, there) = this_machine(args.note), _those_there(args.out) if args.only else ({}, [])
        peaks, found, page = peaks or matrix_peaks(cores), [], ""
        for part in measure(bench, runs, args.only, peaks):  # written at once: the whole takes a while
            found.append(part)
            page = write(args.out, args.backbone, title, facts, peaks, _among(there, found))
    print(page)


if __name__ == "__main__":
    main()
