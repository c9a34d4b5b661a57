"""What the checks of reading cost on a clean study, and what a thousand thin slices cost in memory.

    python -m benchmarks.check_cost [FOLDER] [--out DIR] [--backbone NAME]

FOLDER holds one clean series of uncompressed slices; without it the real RSNA series of 32 slices (ICHSEQ_REAL_DATA) or, where that is
absent, a synthetic one of 32 slices at 512 x 512. Times are the best of several passes in one process over files that the operating
system has cached. Memory is that of `ichseq score-study` as a process of its own: once on the series, once on 1,200 slices made of it
by putting each of its slices many times, closely one above the other. Writes `check_cost.json` and `check_cost.md`.
"""

import argparse
import hashlib
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from benchmarks.processes import ICHSEQ, timed
from benchmarks.reading import best_ms
from benchmarks.seeded import REAL, RESULTS, seeded_bundle
from ich_seq.dicom import SliceHeader, read_header, read_study_files
from ich_seq.dicom.pixels import pixel_bytes
from ich_seq.dicom.syntaxes import TRANSFER_SYNTAXES
from ich_seq.files import make_folder, write_json, write_text
from ich_seq.training.run import machine
from ich_seq.volume import Volume

LIMIT_MS, LIMIT_RATIO = 150.0, 1.5
THIN_SLICES = 1200


@dataclass(frozen=True)
class Cost:
    """Milliseconds a study, by phase."""

    slices: int
    headers_ms: float
    inventory_ms: float
    bare_ms: float
    digest_ms: float
    read_ms: float
    settle_ms: float

    @property
    def checks_ms(self) -> float:
        """All that is neither parsing headers, nor making HU of stored values, nor the digest that names the scan in caches."""
        return self.inventory_ms - self.headers_ms + self.read_ms - self.bare_ms - self.digest_ms + self.settle_ms


def measure(folder: Path, passes: int = 9) -> Cost:
    """The phases of reading one series, each the best of several passes."""
    paths = sorted(path for path in folder.rglob("*.dcm") if path.is_file())
    headers = _volume(folder).series.headers
    if any(not TRANSFER_SYNTAXES[header.pixels.transfer_syntax_uid].native for header in headers):
        raise SystemExit(f"{folder}: compressed slices; bare decoding is measured on uncompressed ones")
    slices = [_bare_hu(header) for header in headers]
    work: dict[str, Callable[[], object]] = {
        "headers_ms": lambda: sum(1 for path in paths if read_header(path)),
        "inventory_ms": lambda: read_study_files([folder]),
        "bare_ms": lambda: sum(_bare_hu(header).size for header in headers),
        "digest_ms": lambda: sum(len(hashlib.sha256(hu.data).digest()) for hu in slices),
    }
    rounds = []
    for _ in range(passes):
        times = {name: best_ms(each, 1, passes=1) for name, each in work.items()}
        rounds.append(times | _read_and_settle(folder))
    return Cost(slices=len(headers), **{name: min(times[name] for times in rounds) for name in rounds[0]})


def _volume(folder: Path) -> Volume:
    chosen = read_study_files([folder]).studies[0].chosen
    if chosen is None:
        raise SystemExit(f"{folder}: no series to read")
    return Volume(chosen)


def _bare_hu(header: SliceHeader) -> np.ndarray:
    """Stored value x slope + intercept, and nothing else: what a notebook does, without pydicom's own cost."""
    layout = header.pixels
    kind = f"{'<' if layout.little_endian else '>'}{'i' if layout.pixel_representation else 'u'}{layout.bits_allocated // 8}"
    stored = np.frombuffer(pixel_bytes(header), kind).reshape(layout.rows, layout.columns)
    (slope,), (intercept,) = header.rescale_slope or (1.0,), header.rescale_intercept or (0.0,)
    hu = stored.astype(np.float32)
    hu *= np.float32(slope)
    hu += np.float32(intercept)
    return hu


def _read_and_settle(folder: Path) -> dict[str, float]:
    """Milliseconds of reading all slices of a fresh volume, and of what is judged when all are read."""
    volume = _volume(folder)
    read_ms = best_ms(lambda: sum(hu.size for _, hu in volume.read()), 1, passes=1)

    def settle() -> object:
        settled = volume.settled()
        return settled.refusal, settled.findings

    return {"read_ms": read_ms, "settle_ms": best_ms(settle, 1, passes=1)}


def make_thin(folder: Path, source: Path, slices: int = THIN_SLICES) -> Path:
    """A series of so many slices over the same length: the pixels of the source's, each many times."""
    make_folder(folder)
    headers = _volume(source).series.headers
    thick = [pydicom.dcmread(source / header.name) for header in headers]
    first, last = (np.array(each.ImagePositionPatient, float) for each in (thick[0], thick[-1]))
    apart_mm = float(np.linalg.norm(last - first)) / (slices - 1)
    for index in range(slices):
        dataset = thick[index * len(thick) // slices]
        dataset.SOPInstanceUID = f"1.2.3.{index + 1}"
        dataset.InstanceNumber = index + 1
        dataset.SliceThickness = f"{apart_mm:.4f}"
        place = first + (last - first) * (index / (slices - 1))
        dataset.ImagePositionPatient = [round(float(value), 6) for value in place]
        dataset.save_as(folder / f"{index:04d}.dcm")
    return folder


def peak_mb(study: Path, model: Path, out: Path) -> float:
    """The peak memory of scoring one study on one thread, report included."""
    command = (*ICHSEQ, "score-study", str(study), "--model", str(model), "--out", str(out), "--quiet", "--jobs", "1")
    return timed(command, 1, warm_up=0).peak_mb


def clean_study(work: Path) -> Path:
    """The real RSNA series, else a synthetic one like it."""
    if REAL.is_dir():
        return REAL
    command = (
        *ICHSEQ,
        "phantom",
        "--studies",
        "1",
        "--slices",
        "32",
        "--matrix",
        "512",
        "--quiet",
        "--out",
        str(work / "one"),
    )
    timed(command, 1, warm_up=0)
    return work / "one" / "stage_2_train"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and writes."""
    warnings.simplefilter("ignore")  # pydicom warns of RSNA's identifiers on every value
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--backbone", default="resnext14_8x4d")
    args = parser.parse_args(arguments)
    make_folder(args.out)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        study = args.folder or clean_study(work)
        cost = measure(study)
        model = seeded_bundle(work / "model", args.backbone)
        few = peak_mb(study, model, work / "few")
        many = peak_mb(make_thin(work / "thin", study), model, work / "many")
    memory = {"backbone": args.backbone, "few_mb": few, "many_slices": THIN_SLICES, "many_mb": many}
    result: dict[str, Any] = {
        "machine": machine(),
        "cost": vars(cost) | {"checks_ms": cost.checks_ms},
        "memory": memory,
    }
    write_json(args.out / "check_cost.json", result)
    page = markdown(result["machine"], cost, memory)
    write_text(args.out / "check_cost.md", page)
    print(page)


def markdown(facts: dict[str, Any], cost: Cost, memory: dict[str, Any]) -> str:
    """The page that is committed."""
    ratio = memory["many_mb"] / memory["few_mb"]
    return f"""# What checking costs

`python -m benchmarks.check_cost` on {facts["cores"]} cores ({facts["system"]}), Python {facts["python"]}; a clean series of
{cost.slices} slices, the best of nine passes.

| phase | ms a study |
| --- | ---: |
| headers, parsed | {cost.headers_ms:.1f} |
| stored values to HU, bare | {cost.bare_ms:.1f} |
| digest of the pixels | {cost.digest_ms:.1f} |
| all checks: files, headers, order, gaps, choice; padding, wrapping, empty slices, values | {cost.checks_ms:.1f} |

At most {LIMIT_MS:.0f} ms are wanted for the checks: {"kept" if cost.checks_ms <= LIMIT_MS else "NOT KEPT"}.

`ichseq score-study` with {memory["backbone"]}, one thread, report included: at most {memory["few_mb"]:.0f} MB on the {cost.slices}
slices, {memory["many_mb"]:.0f} MB on {memory["many_slices"]} thin ones made of them, {ratio:.2f} times as much. At most {LIMIT_RATIO}
times are wanted: {"kept" if ratio <= LIMIT_RATIO else "NOT KEPT"}.
"""


if __name__ == "__main__":
    main()
