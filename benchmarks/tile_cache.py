"""What the tile cache takes, costs and gains: bytes and error a slice, slices a second written, and read beside the images.

    python -m benchmarks.tile_cache [--scans 6] [--slices 32] [--passes 10] [--real FOLDER]

A synthetic cohort at 512 x 512, tiles as published (256 px, three windows). All files are in the operating system's cache: this
measures decoding, not the disk. The size is also taken of a real series (default: that of RSNA in ICHSEQ_REAL_DATA, if it is there).
Writes `results/tile_cache.json` and `tile_cache.md`.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.seeded import REAL, RESULTS
from ich_seq.config import PreprocessConfig, SplitConfig
from ich_seq.files import make_folder, write_json, write_text
from ich_seq.manifest.headers import read_headers
from ich_seq.manifest.index import IndexChoices, index_dataset
from ich_seq.phantom.cohort import CohortSpec, write_cohort
from ich_seq.slices.tile_cache import TileCache, open_tile_cache
from ich_seq.slices.tile_fill import MOST_SERIES, fill_cache
from ich_seq.slices.tile_part import KEY, PARTS, TileFormat, write_format, write_part
from ich_seq.slices.tiles import TileSource
from ich_seq.slices.window import Preprocess
from ich_seq.training.run import machine

RSNA_SLICES, RSNA_SERIES = 752_803, 21_744
CONFIG = PreprocessConfig()
BATCH = 32


def errors_hu(table: pd.DataFrame, root: Path, cache: TileCache) -> list[dict[str, float]]:
    """Of each window, the largest and the mean distance between cached and direct tiles, in HU."""
    rows = [[row] for row in range(len(table))]
    widths = np.array([window.width for window in CONFIG.windows])
    largest, total = np.zeros(len(widths)), np.zeros(len(widths))
    direct, cached = (TileSource(table, origin, Preprocess(CONFIG)) for origin in (root, cache))
    for ours, theirs in zip(cached.batches(rows), direct.batches(rows), strict=True):
        apart = (ours.tiles - theirs.tiles)[0].abs()
        largest = np.maximum(largest, apart.amax((1, 2)).numpy() * widths)
        total += apart.mean((1, 2)).double().numpy() * widths
    return [
        {"level": window.level, "width": window.width, "largest_hu": float(most), "mean_hu": float(mean)}
        for window, most, mean in zip(CONFIG.windows, largest, total / len(table), strict=True)
    ]


def read_rate(table: pd.DataFrame, origin: Path | TileCache, workers: int, passes: int) -> dict[str, float]:
    """Slices a second in batches of 32 in random order, the workers' start included, and this process' milliseconds a slice."""
    source = TileSource(table, origin, Preprocess(CONFIG), workers)
    generator = np.random.default_rng(0)
    order = np.concatenate([generator.permutation(len(table)) for _ in range(passes)]).tolist()
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    started, cpu = time.perf_counter(), time.process_time()
    seen = sum(len(batch.labels) for batch in source.batches(batches))
    return {
        "per_s": seen / (time.perf_counter() - started),
        "own_cpu_ms": (time.process_time() - cpu) / seen * 1e3,
    }


def real_bytes_a_slice(series: Path, folder: Path) -> float | None:
    """Of a real series, or None where it is not at hand."""
    if not series.is_dir():
        return None
    names = sorted(path.relative_to(series).as_posix() for path in series.rglob("*.dcm"))
    table = read_headers(series, names, jobs=1).table
    return fill_cache(table, series, folder, CONFIG, jobs=1).cache.size_bytes / len(table)


def open_at_rsna_size(folder: Path) -> dict[str, float]:
    """Seconds to open a cache of RSNA's size and to find all its slices; its lists are whole, its tiles are left out."""
    form, parts = TileFormat.of(CONFIG), -(-RSNA_SERIES // MOST_SERIES)
    make_folder(folder / PARTS)
    write_format(folder, form)
    names = [f"ID_{number:09x}" for number in range(RSNA_SLICES)]
    table = pd.DataFrame({KEY[0]: names, KEY[1]: [f"stage_2_train/{name}.dcm" for name in names], KEY[2]: np.int32(-1)})
    for slices in np.array_split(np.arange(RSNA_SLICES), parts):
        write_part(folder / PARTS, form, table.iloc[slices], ["left out"] * len(slices))
    started = time.perf_counter()
    cache = open_tile_cache(folder, CONFIG)
    opened = time.perf_counter()
    cache.reader(table.sample(frac=1.0, random_state=0))
    return {"parts": parts, "open_s": opened - started, "find_s": time.perf_counter() - opened}


def measure(work: Path, scans: int, slices: int, passes: int, real: Path) -> dict[str, Any]:
    spec = CohortSpec(studies=scans, seed=1, slices=(slices, slices), matrices=(512,))
    root = write_cohort(spec, work / "cohort", jobs=2)
    table, _ = index_dataset("phantom", root, SplitConfig(), IndexChoices(jobs=1))
    read_rate(table, root, 0, 1)  # what is loaded on first use
    started, cpu = time.perf_counter(), time.process_time()
    cache = fill_cache(table, root, work / "tiles", CONFIG, jobs=1).cache
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    a_slice = cache.size_bytes / len(table)
    return {
        "scans": scans,
        "slices": len(table),
        "passes": passes,
        "bytes_a_slice": a_slice,
        "rsna_gb": a_slice * RSNA_SLICES / 1e9,
        "real_bytes_a_slice": real_bytes_a_slice(real, work / "real"),
        "written_per_s": len(table) / seconds,
        "written_cpu_ms": cpu / len(table) * 1e3,
        "errors": errors_hu(table, root, cache),
        "read": {
            name: {str(workers): read_rate(table, origin, workers, turns) for workers in (0, 2)}
            for name, origin, turns in (("cache", cache, passes), ("images", root, max(1, passes // 10)))
        },
        "rsna_size": open_at_rsna_size(work / "rsna"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=6)
    parser.add_argument("--slices", type=int, default=32)
    parser.add_argument("--passes", type=int, default=10)
    parser.add_argument("--real", type=Path, default=REAL)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    make_folder(args.out)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        result: dict[str, Any] = {"machine": machine(), "load": os.getloadavg()[0]}
        result |= measure(Path(work), args.scans, args.slices, args.passes, args.real)
    write_json(args.out / "tile_cache.json", result)
    page = markdown(result)
    write_text(args.out / "tile_cache.md", page)
    print(page)


def markdown(result: dict[str, Any]) -> str:
    """The page that is committed."""
    facts, rate, full = result["machine"], result["read"], result["rsna_size"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    errors = "\n".join(
        f"| {row['level']:g} / {row['width']:g} | {row['width'] / 510:.3f} | {row['largest_hu']:.3f} | {row['mean_hu']:.4f} |"
        for row in result["errors"]
    )
    rates = "\n".join(
        f"| {title} | {rate['cache'][workers]['per_s']:,.0f} | {rate['images'][workers]['per_s']:,.0f} |"
        for title, workers in (("one process, no workers", "0"), ("two DataLoader workers", "2"))
    )
    cpu = " | ".join(f"{rate[name]['0']['own_cpu_ms']:.2f}" for name in ("cache", "images"))
    real = result["real_bytes_a_slice"]
    seen = f" A real RSNA series: {real:,.0f} bytes, {real * RSNA_SLICES / 1e9:.0f} GB." if real else ""
    return f"""# The tile cache

`python -m benchmarks.tile_cache --scans {result["scans"]} --passes {result["passes"]}` on {facts["cores"]} cores
({facts["system"]}), Python {facts["python"]}, {versions}.
{result["slices"]} synthetic slices at 512 x 512 as tiles of 256 px in three windows, one torch thread a process, every file in the
operating system's cache, so the disk is not measured. The load average was {result["load"]:.1f} at the start: above 0, others shared
the cores, and processor time a slice says more than slices a second.

**Size**: {result["bytes_a_slice"]:,.0f} bytes a slice (196,608 before gzip-1). RSNA's {RSNA_SLICES:,} training slices would take
{result["rsna_gb"]:.0f} GB at that size, instead of 395 GB.{seen}

**Written**: {result["written_per_s"]:.0f} slices/s per process, reading, windowing and flushing to disk included;
{result["written_cpu_ms"]:.1f} ms of processor time a slice, for RSNA {RSNA_SLICES * result["written_cpu_ms"] / 3.6e6:.1f} core hours.

**Read**, slices/s in random order, batches of 32:

| | from the cache | from DICOM |
| --- | ---: | ---: |
{rates}
| one process: ms of processor time a slice | {cpu} |

**Error** against direct reading; half a step of 255 is the bound:

| window, level / width in HU | half a step, HU | largest, HU | mean, HU |
| --- | ---: | ---: | ---: |
{errors}

**At RSNA's size**, simulated ({full["parts"]} parts with the lists of {RSNA_SLICES:,} slices and no tiles): opened and verified in
{full["open_s"]:.1f} s, all slices of a shuffled table found in {full["find_s"]:.1f} s.
"""


if __name__ == "__main__":
    main()
