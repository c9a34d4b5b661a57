"""Start-up, synthetic scans, reading, and what limits extraction and training, as `make bench` measures them."""

import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import torch
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from benchmarks.bench_row import Part, Row
from benchmarks.bench_scoring import COLD, Bench
from benchmarks.generated import Part as GeneratedPart
from benchmarks.generated import make_table, write_images
from benchmarks.processes import ICHSEQ, Run, once
from benchmarks.reading import first_series, pydicom_header, pydicom_hu
from benchmarks.rounds import Spread, alternate, ratios, spread
from ich_seq.dicom import read_header
from ich_seq.embeddings.part import SeriesFeatures, write_part
from ich_seq.embeddings.series import readers_for
from ich_seq.model.bundle import read_bundle
from ich_seq.model.torch_backend import TorchModel
from ich_seq.slices.read import network_tiles, read_slices
from ich_seq.volume import Volume

_HEADERS = (1_000, 7_000)
_PHANTOMS = 4
_ENCODED = {"RLE": RLELossless, "JPEG-LS": JPEGLSLossless, "JPEG 2000": JPEG2000Lossless}
_STEP_SLICES = 4


def light_commands(bench: Bench) -> Part:
    """What is typed often, and the synthetic scans."""
    commands = {
        "python -c pass (the interpreter alone)": (ICHSEQ[0], "-c", "pass"),
        "ichseq --version": (*ICHSEQ, "--version"),
        "ichseq --help": (*ICHSEQ, "--help"),
        "ichseq check STUDY, 32 slices of 512 x 512": (*ICHSEQ, "check", str(bench.scan)),
        "ichseq inspect STUDY, 32 slices of 512 x 512": (*ICHSEQ, "inspect", str(bench.scan)),
        "ichseq inspect MODEL, full size": (*ICHSEQ, "inspect", str(bench.model)),
    }
    found = alternate(
        {title: lambda command=command: once(command) for title, command in commands.items()}, bench.rounds
    )
    rows = [
        Row(
            title,
            spread([run.seconds for run in runs]),
            "s",
            COLD,
            bench.rounds,
            None,
            max(run.peak_mb for run in runs),
        )
        for title, runs in found.items()
    ]
    return Part("Start-up", "Whole processes; the synthetic scans by themselves.", rows + _phantoms(bench))


def _phantoms(bench: Bench) -> list[Row]:
    def make(matrix: int) -> Run:
        out = bench.work / f"phantom_{matrix}_{time.monotonic_ns()}"
        words = (
            "phantom",
            "--studies",
            str(_PHANTOMS),
            "--slices",
            "32",
            "--matrix",
            str(matrix),
            "--jobs",
            str(bench.cores),
        )
        return once((*ICHSEQ, *words, "--quiet", "--out", str(out)))

    found = alternate(
        {str(matrix): lambda matrix=matrix: make(matrix) for matrix in (256, 512)}, bench.rounds, warm_up=0
    )
    rows = []
    for matrix, runs in found.items():
        each = spread([1000 * run.seconds / (32 * _PHANTOMS) for run in runs])
        title = f"ichseq phantom: {_PHANTOMS} scans of 32 slices of {matrix} x {matrix}"
        state = f"cold process, {bench.cores} processes"
        rows.append(Row(title, each, "ms a slice", state, bench.rounds, None, max(run.peak_mb for run in runs)))
    return rows


def reading(bench: Bench) -> Part:
    """Headers and pixels, in one process, beside pydicom's usual calls on the same files."""
    series = first_series(bench.scan)
    folders = {"uncompressed": bench.scan} | _encoded(bench)
    paths = [path for path in sorted(bench.scan.rglob("*.dcm")) if path.is_file()]
    state = "warm, files cached, one thread"
    rows = _against("headers", "pydicom's header with position, spacing and rescale", bench, len(series), state, {
        "pydicom": lambda: [pydicom_header(path) for path in paths],
        "ichseq": lambda: [read_header(path) for path in paths],
    })  # fmt: skip
    for name, folder in folders.items():
        volume = Volume(first_series(folder))
        files = [path for path in sorted(folder.rglob("*.dcm")) if path.is_file()]
        rows += _against(f"HU, {name}", "pydicom's pixel_array with slope and intercept", bench, len(files), state, {
            "pydicom": lambda files=files: [pydicom_hu(path) for path in files],
            "ichseq": lambda volume=volume: list(Volume(volume.series).read()),
        })  # fmt: skip
    rows += _indexing(bench)
    words = "Per second. ichseq's HU come with every check of a slice and with the digest that names a scan; times as fast as pydicom."
    return Part("Reading", words, rows)


def _against(
    what: str, theirs: str, bench: Bench, count: int, state: str, ways: dict[str, Callable[[], object]]
) -> list[Row]:
    taken = alternate({name: _seconds(way) for name, way in ways.items()}, bench.rounds)
    rates = {name: spread([count / each for each in seconds]) for name, seconds in taken.items()}
    return [
        Row(f"{what}: {theirs}", rates["pydicom"], "a second", state, bench.rounds),
        Row(
            f"{what}: ichseq",
            rates["ichseq"],
            "a second",
            state,
            bench.rounds,
            ratios(taken["pydicom"], taken["ichseq"]),
        ),
    ]


def _seconds(way: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of RSNA's identifiers on every value
            way()
        return time.perf_counter() - started

    return run


def _encoded(bench: Bench) -> dict[str, Path]:
    """The scan's files in compressed transfer syntaxes, written by pydicom's encoders."""
    found = {}
    for name, syntax in _ENCODED.items():
        folder = found[name] = bench.work / name.replace(" ", "_").lower()
        folder.mkdir()
        for path in sorted(bench.scan.rglob("*.dcm"))[:16]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dataset = pydicom.dcmread(path)
                dataset.compress(syntax, generate_instance_uid=False)
                dataset.save_as(folder / path.name)
    return found


def _indexing(bench: Bench) -> list[Row]:
    """`ichseq index` on few and on many files in turn: the files between them over the seconds between them."""
    roots = {}
    for count in _HEADERS:
        root = roots[str(count)] = bench.work / f"headers_{count}"
        series = count // 32
        write_images(root, make_table((GeneratedPart(series, series, count),)))

    def index(root: Path) -> Run:
        table = bench.work / "headers.parquet"
        words = ("rsna2019", "--root", str(root), "--out", str(table), "--jobs", str(bench.cores), "--quiet")
        return once((*ICHSEQ, "index", *words))

    found = alternate({count: lambda root=root: index(root) for count, root in roots.items()}, bench.rounds)
    few, many = (found[str(count)] for count in _HEADERS)
    rates = [(_HEADERS[1] - _HEADERS[0]) / (b.seconds - a.seconds) for a, b in zip(few, many, strict=True)]
    title = f"ichseq index: each further of {_HEADERS[1]:,} files of 64 x 64"
    return [Row(title, spread(rates), "a second", f"{COLD}, {bench.cores} processes", bench.rounds)]


def limits(bench: Bench) -> Part:
    """What each stage of extraction and of training takes of a slice, and so which one limits."""
    model = TorchModel(read_bundle(bench.model))
    volume = Volume(first_series(bench.scan))
    slices = [hu for _, hu in volume.read()][:8]
    logits, embedding = read_slices(model.cnn, slices, len(slices))
    features = SeriesFeatures(
        "1.2.3",
        tuple(map(str, range(len(slices)))),
        np.arange(len(slices), dtype=np.float64),
        embedding.astype(np.float16),
        logits,
    )
    tiles = network_tiles(model.cnn.preprocess, slices, range(len(slices)))
    parts = bench.work / "parts"
    parts.mkdir()
    network = model.cnn
    labels = torch.zeros(_STEP_SLICES, 6)

    def step() -> None:
        network.train()
        for parameter in network.parameters():
            parameter.requires_grad_(True)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(tiles[:_STEP_SLICES]).logits, labels)
        loss.backward()
        network.zero_grad()
        network.eval()

    def forward() -> None:
        with torch.inference_mode():
            network(tiles)

    readers = readers_for("cuda")
    ahead = "file to HU, read ahead as for a GPU"

    def read_ahead() -> None:
        with ThreadPoolExecutor(readers) as pool:
            list(pool.map(lambda _: list(Volume(volume.series).read()), range(readers)))

    ways: dict[str, tuple[Callable[[], object], int, str]] = {
        "file to HU": (lambda: list(Volume(volume.series).read()), len(volume), "one thread"),
        ahead: (read_ahead, len(volume) * readers, f"{readers} threads"),
        "HU to the network's tile": (
            lambda: network_tiles(network.preprocess, slices, range(len(slices))),
            8,
            "all threads",
        ),
        "the network, torch fp32": (forward, 8, "all threads, batch 8"),
        "writing a part": (lambda: write_part(parts, "0" * 64, features), 8, "one thread"),
        "training: forward and backward, torch fp32": (step, _STEP_SLICES, f"all threads, batch {_STEP_SLICES}"),
    }
    taken = alternate({title: _seconds(way) for title, (way, _, _) in ways.items()}, bench.rounds)
    rows, found = [], {}
    for title, (_, count, state) in ways.items():
        found[title] = value = spread([1000 * seconds / count for seconds in taken[title]])
        rows.append(Row(title, value, "ms a slice", f"warm, {state}", bench.rounds))
    return Part("What limits extraction and training", _limit_words(found, ahead), rows)


def _limit_words(found: dict[str, Spread], ahead: str) -> str:
    """Which stage limits here, and from which speed of the network on reading would."""
    reading_ms, network_ms = found[ahead].median, found["the network, torch fp32"].median
    limit = "the network limits" if reading_ms < network_ms else "reading limits"
    return (
        f"Extraction reads the next series in threads while the network computes. Here {limit}: reading takes "
        f"{reading_ms / network_ms:.1%} of the network's time. Behind a network of more than {1000 / reading_ms:,.0f} slices a second "
        "reading would limit: then `--shard`, torchrun or Dask read with more processes, and training reads `cache-tiles`."
    )
