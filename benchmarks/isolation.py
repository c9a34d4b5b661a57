"""What it costs to decode in a child process, and what files that ask for much get: time and memory, each in a process of its own.

    python -m benchmarks.isolation [--skip-large]

Writes `benchmarks/results/isolation.md`. The bombs are those of `tests/bombs.py`; `--skip-large` leaves out those that take long to
write.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ich_seq.dicom import SliceHeader, children, decoder, read_study_files
from ich_seq.dicom.fragments import frame_at
from ich_seq.dicom.pixels import pixel_bytes
from ich_seq.dicom.syntaxes import TRANSFER_SYNTAXES
from ich_seq.files import write_text
from ich_seq.training.run import machine

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
REAL = Path(os.environ.get("ICHSEQ_REAL_DATA", PROJECT.parent / "shared" / "data"))
SERIES = REAL / "rsna_series_ID_52c1ab5a"
SLICES, PASSES = 8, 9
LARGEST_S, LARGEST_MB = 2.0, 300.0
_READ = """
import json, resource, sys, time
from pathlib import Path
from bombs import codes_of
from ich_seq.dicom import children

def peak(who):
    return resource.getrusage(who).ru_maxrss / 1024

codes_of(Path(sys.argv[1]))
children._POOL.end_all()
before, decoder = peak(resource.RUSAGE_SELF), peak(resource.RUSAGE_CHILDREN)
started = time.perf_counter()
through, codes = codes_of(Path(sys.argv[2]))
seconds = time.perf_counter() - started
children._POOL.end_all()
above = peak(resource.RUSAGE_SELF) - before, peak(resource.RUSAGE_CHILDREN) - decoder
print(json.dumps([through, sorted(codes), seconds, *above]))
"""
"""Reads a sound compressed slice, then the bomb: what the second takes more than the first, in this process and in its decoders."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skip-large", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    sys.path.insert(0, str(PROJECT / "tests"))
    load = os.getloadavg()[0]
    speeds = [codec_speed(syntax) for syntax in ("jpegls", "jpeg2000", "rle")]
    with tempfile.TemporaryDirectory() as folder:
        bombs = importlib.import_module("bombs").all_bombs()
        refused = [refusal(bomb, Path(folder)) for bomb in bombs if not (args.skip_large and bomb.slow)]
    write_text(args.out / "isolation.md", page(speeds, refused, load))
    wrong = [row for row in refused if not row["held"]]
    print("\n".join(f"{row['name']}: {row}" for row in wrong) or f"{len(refused)} of {len(refused)} bombs held")
    return 1 if wrong else 0


def codec_speed(syntax: str) -> dict[str, Any]:
    """Milliseconds a slice of 512 x 512, by the clock and of processor time, decoded here and in a child."""
    with tempfile.TemporaryDirectory() as folder:
        headers = compressed_slices(Path(folder), syntax)
        frames = [(header, frame_at(pixel_bytes(header), 0, 1)) for header in headers]
    known = TRANSFER_SYNTAXES[headers[0].pixels.transfer_syntax_uid]

    def here(header: SliceHeader, frame: bytes) -> np.ndarray:
        return decoder._decoded(frame, **children._request(known, header.pixels)).astype(np.int32)

    def there(header: SliceHeader, frame: bytes) -> np.ndarray:
        return children.decode_in_child(frame, known, header.pixels)

    children._POOL.end_all()
    started = time.perf_counter()
    children._POOL.put_back(children._POOL.take())
    start_s = time.perf_counter() - started
    for header, frame in frames:
        np.testing.assert_array_equal(here(header, frame), there(header, frame))
    rows = [(best_ms(here, frames), best_ms(there, frames)) for _ in range(PASSES)]
    return {
        "syntax": known.name,
        "here": statistics.median(row[0] for row in rows),
        "there": statistics.median(row[1] for row in rows),
        "fastest_here": min(row[0] for row in rows),
        "fastest_there": min(row[1] for row in rows),
        "start_s": start_s,
    }


def compressed_slices(folder: Path, syntax: str) -> tuple[SliceHeader, ...]:
    """The middle of a real head where it is at hand, else of a ramp with noise, compressed."""
    factory = importlib.import_module("dicom_factory")
    volumes = read_study_files([SERIES]).studies[0].chosen if SERIES.is_dir() else None
    pixels = importlib.import_module("ich_seq.volume").Volume(volumes) if volumes is not None else None
    noise = np.random.default_rng(0)

    def edit(dataset: Any, index: int) -> None:
        plain = factory.ramp_hu(index, 512, 512) + noise.normal(0, 10, (512, 512))
        factory.set_pixels(dataset, np.clip(plain if pixels is None else pixels[12 + index], -1024, 3071).round())

    factory.make_series(folder, SLICES, edit, syntax)
    chosen = read_study_files([folder]).studies[0].chosen
    if chosen is None:
        raise SystemExit("the slices that were just written cannot be read")
    return chosen.headers


def best_ms(work: Callable[[SliceHeader, bytes], object], frames: Sequence[tuple[SliceHeader, bytes]]) -> float:
    """Milliseconds a slice in one pass over all."""
    started = time.perf_counter()
    for header, frame in frames:
        work(header, frame)
    return (time.perf_counter() - started) / len(frames) * 1e3


def refusal(bomb: Any, folder: Path) -> dict[str, Any]:
    """What one bomb got, in a process of its own."""
    sound = folder / "sound.dcm"
    if not sound.exists():
        importlib.import_module("bombs").sound(sound, "jpegls")
    path = bomb.make(folder)
    size = path.stat().st_size
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(PROJECT), str(PROJECT / "tests")))}
    words = [sys.executable, "-W", "ignore", "-c", _READ, str(sound), str(path)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    path.unlink()
    row = {"name": bomb.name, "code": bomb.code, "size": size}
    if done.returncode:
        return row | {"held": False, "seconds": 0.0, "mb": 0.0, "decoder_mb": 0.0, "said": done.stderr[-300:]}
    through, codes, seconds, mb, decoder_mb = json.loads(done.stdout)
    held = not through and bomb.code in codes and seconds <= LARGEST_S and mb + decoder_mb <= LARGEST_MB
    return row | {"held": held, "seconds": seconds, "mb": mb, "decoder_mb": decoder_mb, "codes": codes}


def page(speeds: Sequence[dict[str, Any]], refused: Sequence[dict[str, Any]], load: float) -> str:
    """The page that is committed."""
    facts = machine()
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    speed = "\n".join(
        f"| {row['syntax']} | {row['here']:.1f} | {row['there']:.1f} | {row['there'] / row['here'] - 1:+.0%} "
        f"| {row['fastest_here']:.1f} | {row['fastest_there']:.1f} | {row['fastest_there'] / row['fastest_here'] - 1:+.0%} |"
        for row in speeds
    )
    bombs = "\n".join(
        f"| {row['name'].replace('_', ' ')} | {row['size'] / 1e3:,.0f} | {row['code']} | {'yes' if row['held'] else 'NO'} "
        f"| {row['seconds']:.2f} | {row['mb']:.0f} | {row['decoder_mb']:.0f} |"
        for row in refused
    )
    held, slowest = sum(row["held"] for row in refused), max(row["seconds"] for row in refused)
    largest = max(row["mb"] + row["decoder_mb"] for row in refused)
    start = statistics.median(row["start_s"] for row in speeds)
    return f"""# Isolation: what it costs, and what it holds

`python -m benchmarks.isolation` on {facts["cores"]} cores ({facts["system"]}), Python {facts["python"]}, {versions}. The load average
was {load:.1f} at the start: above 0, others shared the cores.

## Decoding in a child process

{SLICES} slices of 512 x 512, {PASSES} passes, in this process and in a child by turns; the pixels are equal. ms a slice, the median
and the fastest pass. The first compressed slice of a process also waits for the child to start: {start:.2f} s.

| | here | child | more | here, fastest | child, fastest | more |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
{speed}

## Files that ask for much

{held} of {len(refused)} are refused by the code that is expected, within {LARGEST_S:g} s and {LARGEST_MB:g} MB above what reading one
sound compressed slice takes. Each is read and decoded in a process of its own; the slowest took {slowest:.2f} s, the largest
{largest:.0f} MB. Seconds include the start of a decoder where one is needed.

| file | kB | code | held | s | MB above base | MB more in decoders |
| --- | ---: | --- | --- | ---: | ---: | ---: |
{bombs}
"""


if __name__ == "__main__":
    sys.exit(main())
