"""Scoring, as `make bench` measures it: whole processes, slices when warm, the cold start by phase, many studies, cores, lengths."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import published_way
from benchmarks.bench_row import Part, Row
from benchmarks.cold_start import PHASES
from benchmarks.matrix_peak import flop_a_slice
from benchmarks.processes import ICHSEQ, Run, once
from benchmarks.rounds import alternate, ratios, spread
from benchmarks.seeded import synthetic_studies
from ich_seq.model.export import synthetic_slices
from ich_seq.model.openvino_backend import machine_has_bf16
from ich_seq.model.runtime import Compute
from ich_seq.study.chunks import CHUNK_SLICES
from ich_seq.study.model import StudyModel, load_model
from ich_seq.training.compute import resolve_precision, set_threads

AS_PUBLISHED = "the published way (torch fp32, default layout)"
COLD = "cold process, files cached"
LENGTHS = (1, 3, 10, 32, 100, 320, 1000)
_WARM_SLICES = 8


@dataclass(frozen=True)
class Bench:
    """What all parts share: the model, the scan, room to work, the ways to compute, and how often each has its turn."""

    model: Path
    scan: Path
    work: Path
    ways: Sequence[tuple[str, str]]
    cores: int
    rounds: int

    @property
    def quickest(self) -> tuple[str, str]:
        """The way of lowest precision that OpenVINO computes."""
        return self.ways[-1]

    def score(self, way: tuple[str, str], scan: Path, *words: str) -> Callable[[], Run]:
        """`ichseq score-study` as a process; its files go to a folder that is emptied first."""
        out = self.work / "scored"
        given = ("--runtime", way[0], "--precision", way[1], "--device", "cpu", "--model", str(self.model))
        command = (*ICHSEQ, "score-study", str(scan), *given, "--out", str(out), "--quiet", *words)

        def run() -> Run:
            shutil.rmtree(out, ignore_errors=True)
            return once(command)

        return run

    def loaded(self, way: tuple[str, str], threads: int) -> StudyModel:
        """The model as a process has it that computes this way."""
        return load_model(self.model, Compute("cpu", threads, way[0], way[1]))  # type: ignore[arg-type]


def name_of(way: tuple[str, str]) -> str:
    """`OpenVINO bf16`, `torch fp32`."""
    return f"{'OpenVINO' if way[0] == 'openvino' else way[0]} {way[1]}"


def whole_processes(bench: Bench) -> Part:
    """From the command to the report, each way in turn."""
    published = (sys.executable, "-m", "benchmarks.published_way", str(bench.scan), str(bench.model))
    runs: dict[str, Callable[[], Run]] = {
        AS_PUBLISHED: lambda: once((*published, str(bench.work / "published.csv"))),
        **{f"ichseq score-study, {name_of(way)}": bench.score(way, bench.scan) for way in bench.ways},
    }
    found = alternate(runs, bench.rounds)
    words = (
        "From the command to the report: interpreter, imports, model, reading, both stages, pictures. The published way writes a CSV, "
        "checks nothing and draws nothing (benchmarks/published_way.py). int8 has every convolution in int8 here and below, "
        "calibrated on eight synthetic slices, for its speed alone: a trained model's may keep some in floating point."
    )
    return Part("A scan of 32 slices, cold", words, _process_rows(found, bench))


def _process_rows(found: dict[str, list[Run]], bench: Bench) -> list[Row]:
    first = [run.seconds for run in found[AS_PUBLISHED]]
    rows = []
    for title, runs in found.items():
        seconds, published = [run.seconds for run in runs], title == AS_PUBLISHED
        times = None if published else ratios(first, seconds)
        batch = "one slice at a time" if published else f"{CHUNK_SLICES} slices at once"
        state = f"{COLD}, {bench.cores} threads, {batch}"
        rows.append(Row(title, spread(seconds), "s", state, bench.rounds, times, max(run.peak_mb for run in runs)))
    return rows


def warm_slices(bench: Bench, peaks: dict[str, float]) -> Part:
    """Stage one on slices in HU, with windowing, in one process."""
    set_threads(bench.cores)
    slices = synthetic_slices([(512, 512)] * _WARM_SLICES)
    as_published = published_way.published_model(bench.model)
    flop = flop_a_slice(as_published)
    models = {name_of(way): bench.loaded(way, bench.cores) for way in bench.ways}

    def published() -> object:
        return published_way.stage_one(as_published, slices)

    ways = {AS_PUBLISHED: published} | {title: _reading(model, slices) for title, model in models.items()}
    taken = alternate({title: _clocked(way, _WARM_SLICES) for title, way in ways.items()}, bench.rounds)
    rows = []
    for title, each in taken.items():
        times = None if title == AS_PUBLISHED else ratios(taken[AS_PUBLISHED], each)
        value, peak = spread(each), peaks[title.split()[-1] if title in models else "fp32"]
        share = flop / (value.median / 1000) / (peak * 1e12)
        batch = "all at once" if title.startswith("torch") else "one a thread at once"
        batch = "one after another" if title == AS_PUBLISHED else batch
        state = f"warm, {bench.cores} threads, {_WARM_SLICES} slices, {batch}"
        rows.append(Row(title, value, "ms a slice", state, bench.rounds, times, share=share))
    measured = ", ".join(f"{peak:.3g} in {name}" for name, peak in peaks.items())
    return Part(
        "A slice, warm",
        f"HU to probabilities and PCA coordinates. The network takes {flop / 1e9:.1f} GFLOP a slice; the best product of two large "
        f"matrices reaches {measured} (10^12 operations a second) here; the share of that peak is given.",
        rows,
    )


def _reading(model: StudyModel, slices: list) -> Callable[[], object]:  # type: ignore[type-arg]
    return lambda: model.read_slices(slices)


def _clocked(way: Callable[[], object], count: int) -> Callable[[], float]:
    """Milliseconds for each of `count` things."""

    def run() -> float:
        started = time.perf_counter()
        way()
        return 1000 * (time.perf_counter() - started) / count

    return run


def cold_start(bench: Bench) -> Part:
    """The phases of a cold process with torch in fp32, and with the quickest way."""
    ways = [way for way in bench.ways if way in (("torch", "fp32"), bench.quickest)]
    found = alternate({name_of(way): lambda way=way: _phases(bench, way) for way in ways}, bench.rounds)
    rows = []
    for title, rounds in found.items():
        for phase, words in PHASES.items():
            milliseconds = [1000 * seconds[phase] for seconds in rounds]
            rows.append(
                Row(f"{title}: {words}", spread(milliseconds), "ms", f"{COLD}, {bench.cores} threads", bench.rounds)
            )
    return Part(
        "A cold start by phase",
        "Each phase by itself, one after another. The command reads slices while stage one computes, so its whole is shorter.",
        rows,
    )


def _phases(bench: Bench, way: tuple[str, str]) -> dict[str, float]:
    words = (sys.executable, "-m", "benchmarks.cold_start", bench.scan, bench.model, bench.work / "phases", *way)
    done = subprocess.run(
        [*map(str, words), repr(time.time())], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    return json.loads(done.stdout)["seconds"]


def many_studies(bench: Bench, studies: int = 4) -> Part:
    """One call on one study and on several, and what each further study takes in the lower precisions."""
    one, several = synthetic_studies(bench.work / "first", 1), synthetic_studies(bench.work / "several", studies)
    rows = []
    for way in (each for each in bench.ways if each[0] == "openvino" and each[1] != "fp32"):
        found = alternate({"one": bench.score(way, one), "several": bench.score(way, several)}, bench.rounds)
        further = [
            (all_of_them.seconds - alone.seconds) / (studies - 1)
            for alone, all_of_them in zip(found["one"], found["several"], strict=True)
        ]
        grows = max(run.peak_mb for run in found["several"]) - max(run.peak_mb for run in found["one"])
        title = f"{name_of(way)}: each further study of 32 slices"
        state = f"one process, {bench.cores} threads; memory: {grows:+.0f} MB with {studies} studies"
        rows.append(Row(title, spread(further), "s", state, bench.rounds))
    words = f"`ichseq score-study` on one study and on a folder of {studies}, in turn; the difference, divided by {studies - 1}."
    return Part("Many studies in one call", words, rows)


def cores_and_lengths(bench: Bench) -> Part:
    """Stage one by threads, and both stages by the number of slices."""
    slices = synthetic_slices([(512, 512)] * _WARM_SLICES)
    rows = []
    for way in (each for each in bench.ways if each[0] == "openvino"):
        counts = sorted({1, *(2**power for power in range(1, 8) if 2**power <= bench.cores), bench.cores})
        models = {count: bench.loaded(way, count) for count in counts}
        ways = {str(count): _clocked(_reading(model, slices), _WARM_SLICES) for count, model in models.items()}
        taken = alternate(ways, bench.rounds)
        for count in counts:
            times = None if count == 1 else ratios(taken["1"], taken[str(count)])
            title = f"{name_of(way)}, {count} thread{'s' * (count > 1)}"
            state = f"warm, stage one, {_WARM_SLICES} slices, one a thread at once"
            rows.append(Row(title, spread(taken[str(count)]), "ms a slice", state, bench.rounds, times))
    return Part("By cores", "Stage one on eight slices; times as fast as with one thread.", rows)


def lengths(bench: Bench) -> Part:
    """Both stages on scans of 1 to 1,000 slices, eight at a time as scoring hands them over."""
    model = bench.loaded(bench.quickest, bench.cores)
    slices = synthetic_slices([(512, 512)] * CHUNK_SLICES)

    def scan(count: int) -> object:
        read = [
            model.read_slices(slices[: min(CHUNK_SLICES, count - first)]) for first in range(0, count, CHUNK_SLICES)
        ]
        prob, reduced = (np.concatenate(parts) for parts in zip(*read, strict=True))
        return model.refine(reduced, prob)

    rows = []
    scan(1)
    for count in LENGTHS:
        rounds = bench.rounds if count <= 32 else 1  # long ones vary little
        taken = [_clocked(lambda count=count: scan(count), count)() for _ in range(rounds)]
        rows.append(Row(f"{count:,} slices", spread(taken), "ms a slice", f"warm, {bench.cores} threads", rounds))
    words = f"Both stages, {name_of(bench.quickest)}, slices of 512 x 512 in HU; one length after another."
    return Part("By the length of a scan", words, rows)


def machine_ways() -> list[tuple[str, str]]:
    """Runtime and precision of each way that this machine has, the published way's relatives first and the quickest last."""
    has_bf16 = {"torch": resolve_precision("auto", "cpu") == "bf16", "openvino": machine_has_bf16()}
    ways = [("torch", "fp32"), ("torch", "bf16"), ("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8")]
    return [way for way in ways if way[1] != "bf16" or has_bf16[way[0]]]
