"""What other readers make of the faults of `tests/faults`: raised, warned or silent, and the same volume or another.

    uv pip install --target /somewhere --no-deps SimpleITK dicom2nifti
    PYTHONPATH=/somewhere .venv/bin/python -m benchmarks.readers

Writes `benchmarks/results/readers.md`. Beside ichseq stand pydicom as notebooks use it (glob, sort, rescale, stack), SimpleITK's
series reader and dicom2nifti; a reader that is not installed is left out. Each series is read in a process of its own, which has 30 s:
some of the faults hang readers. The same volume means: the HU that this reader gave of the good series, in the same order.
"""

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import multiprocessing
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ich_seq.files import write_text
from ich_seq.training.run import machine
from tests.bases import BASES, real_folder, write_phantom
from tests.faults import FAULTS, VARIANTS, Fault, GoodSeries, Variant
from tests.faults.good import save
from tests.outcomes import codes_of

RESULTS = Path(__file__).parent / "results"
LIMIT_S = 30.0
_FORK = multiprocessing.get_context("fork")
_PARTICULAR = re.compile(r"(/\S+)|(\d[\d.]*)")
Read = Callable[[Path], tuple[np.ndarray | None, list[str]]]


@dataclass(frozen=True)
class Answer:
    """What a reader made of one series; `digest` is of its HU in order, empty where it gave none."""

    raised: str
    warned: list[str]
    digest: str


def notebook(folder: Path) -> tuple[np.ndarray, list[str]]:
    """pydicom as tutorials have it: all files, by InstanceNumber or else by height, stored values to HU, stacked."""
    import pydicom

    slices = [pydicom.dcmread(path) for path in folder.glob("*.dcm")]
    if all(one.get("InstanceNumber") is not None for one in slices):
        slices.sort(key=lambda one: int(one.InstanceNumber))
    else:
        slices.sort(key=lambda one: float(one.ImagePositionPatient[2]))
    images = [one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices]
    return np.stack(images), []


def simple_itk(folder: Path) -> tuple[np.ndarray, list[str]]:
    """SimpleITK's series reader on the first series that it finds."""
    import SimpleITK as sitk  # noqa: N813  # pyright: ignore[reportMissingImports]

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.GetArrayFromImage(reader.Execute()), []


def dicom_to_nifti(folder: Path) -> tuple[np.ndarray, list[str]]:
    """dicom2nifti's conversion of one series, its checks as they are set by default."""
    import dicom2nifti  # pyright: ignore[reportMissingImports]
    import nibabel

    with tempfile.TemporaryDirectory() as out:
        path = Path(out) / "volume.nii.gz"
        dicom2nifti.dicom_series_to_nifti(str(folder), str(path), reorient_nifti=True)
        return np.asarray(nibabel.load(path).get_fdata()), []  # pyright: ignore[reportAttributeAccessIssue]


def ichseq(folder: Path) -> tuple[np.ndarray | None, list[str]]:
    """This project, by its public way; codes from D, W and E on."""
    outcome = codes_of(folder)
    if outcome.volume is None:
        raise ValueError(", ".join(sorted(outcome.codes)))
    return outcome.volume.array(), sorted(outcome.codes)


READERS: dict[str, tuple[str, Read]] = {
    "pydicom notebook": ("pydicom", notebook),
    "SimpleITK": ("SimpleITK", simple_itk),
    "dicom2nifti": ("dicom2nifti", dicom_to_nifti),
    "ichseq": ("ich_seq", ichseq),
}


def ask(read: Read, folder: Path) -> Answer:
    """One reader on one folder, in a process of its own."""
    with tempfile.TemporaryDirectory() as base:
        told = Path(base) / "answer.json"
        process = _FORK.Process(target=_answer, args=(read, folder, told))
        process.start()
        process.join(LIMIT_S)
        if process.is_alive():
            process.kill()
            process.join()
            return Answer(f"no answer within {LIMIT_S:.0f} s", [], "")
        if not told.exists():
            return Answer(f"the process died with {process.exitcode}", [], "")
        return Answer(**json.loads(told.read_text()))


def _answer(read: Read, folder: Path, told: Path) -> None:
    said: list[str] = []
    raised, digest = "", ""
    with _heard(said):
        try:
            volume, own = read(folder)
            said += own
            values = np.ascontiguousarray(volume, dtype="<f4")
            digest = hashlib.sha256(str(values.shape).encode() + values.tobytes()).hexdigest()
        except BaseException as error:  # noqa: BLE001  # whatever another reader raises is its answer
            raised = f"{type(error).__name__}: {error}"[:200]
    told.write_text(json.dumps(asdict(Answer(raised, said, digest))))


@contextmanager
def _heard(said: list[str]) -> Iterator[None]:
    """Adds to `said` whatever is warned, logged from WARNING on, or written to stderr by native code."""
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    with tempfile.TemporaryFile() as stderr, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        os.dup2(stderr.fileno(), 2)
        os.dup2(stderr.fileno(), 1)
        yield
        stderr.seek(0)
        said += [str(item.message) for item in caught]
        said += [line for line in stderr.read().decode(errors="replace").splitlines() if "warning" in line.lower()]


def verdict(answer: Answer, good: Answer) -> str:
    """`raised`, or `warned` or `silent` with the volume the same or different; what is said of the good series too is no warning."""
    if answer.raised.startswith("no answer"):
        return "hung"
    if answer.raised:
        return "raised"
    known = {_PARTICULAR.sub("", text) for text in good.warned}
    warned = any(_PARTICULAR.sub("", text) not in known for text in answer.warned)
    return f"{'warned' if warned else 'silent'}, {'same' if answer.digest == good.digest else 'different'}"


def verdicts(
    table: Mapping[str, Fault | Variant], base: str, good: Path, readers: Mapping[str, Read], work: Path
) -> dict[str, dict[str, str]]:
    """By entry, then by reader."""
    reference = {name: ask(read, good) for name, read in readers.items()}
    for name, answer in reference.items():
        if answer.raised:
            raise ValueError(f"{name} cannot read the good series {base}: {answer.raised}")
    found: dict[str, dict[str, str]] = {}
    for name, entry in table.items():
        if base in entry.impossible:
            continue
        with tempfile.TemporaryDirectory(dir=work) as folder:
            entry.apply(good, Path(folder) / "series")
            answers = {reader: ask(read, Path(folder) / "series") for reader, read in readers.items()}
        found[name] = {reader: verdict(answer, reference[reader]) for reader, answer in answers.items()}
        print(name, found[name], flush=True)
    return found


def numbered(good: GoodSeries, out: Path) -> None:
    """The series with InstanceNumber from 1 at the feet, as scanners write it: dicom2nifti reads none without."""
    for index, path in enumerate(good.paths):
        dataset = good.load(index)
        dataset.InstanceNumber = index + 1
        save(dataset, out / path.name)


def page(faults: dict[str, dict[str, str]], variants: dict[str, dict[str, str]], base: str, readers: list[str]) -> str:
    """The tables in Markdown, the summary first."""
    silent = {r: [row[r] for row in faults.values() if row[r].startswith("silent")] for r in readers}
    wrong = {r: sum(answer == "silent, different" for answer in silent[r]) for r in readers}
    hung = {r: sum(row[r] == "hung" for row in faults.values()) for r in readers}
    lost = {r: sum(not row[r].endswith("same") for row in variants.values()) for r in readers}
    versions = ", ".join(f"{name} {_version(READERS[name][0])}" for name in readers if name != "ichseq")
    heads = f"| {' | '.join(readers)} |\n| --- |{' --- |' * len(readers)}"
    facts = machine()
    return f"""# The same faults, other readers

`python -m benchmarks.readers`, base: {base}. {versions}; ichseq of this tree, Python {facts["python"]}.
{len(faults)} faults of `tests/faults` that should be flagged, and {len(variants)} harmless variants that should be read as what
they come from. "silent": no exception, no warning, nothing in the log. "different": other HU, another order or another number of
slices than this reader gives of the good series; a fault of the header alone leaves them the same. "hung": no answer within
{LIMIT_S:.0f} s. A converter is not made to judge what a series shows, its kernel or its patient: the second row says how often another
volume came without a word.

| {heads}
| **faults passed silently, of {len(faults)}** {"".join(f"| **{len(silent[r])}** " for r in readers)}|
| of these with a volume that is not that of the good series {"".join(f"| {wrong[r]} " for r in readers)}|
| hung {"".join(f"| {hung[r]} " for r in readers)}|
| harmless variants refused or read as something else, of {len(variants)} {"".join(f"| {lost[r]} " for r in readers)}|

## Faults

| fault | expected {heads} --- |
{_rows(faults, base, readers)}

## Harmless variants

| variant | dropped {heads} --- |
{_rows(variants, base, readers)}
"""


def _rows(found: dict[str, dict[str, str]], base: str, readers: list[str]) -> str:
    lines = []
    for name, row in found.items():
        expected = FAULTS[name].expected(base) if name in FAULTS else VARIANTS[name].dropped
        wrong = {r: row[r].startswith("silent") if name in FAULTS else not row[r].endswith("same") for r in readers}
        answers = " | ".join(f"**{row[r]}**" if wrong[r] else row[r] for r in readers)
        lines.append(f"| {name.replace('_', ' ')} | {' '.join(sorted(expected))} | {answers} |")
    return "\n".join(lines)


def _version(package: str) -> str:
    return importlib.metadata.version(package)


def main() -> None:
    """Reads and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", choices=list(BASES), default="phantom", help="which good series is made faulty")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    installed = {name: read for name, (module, read) in READERS.items() if importlib.util.find_spec(module)}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        good = work / "good"
        good.mkdir()
        if BASES[args.base].folder:
            GoodSeries(real_folder() / BASES[args.base].folder).copy(good)
        else:
            numbered(GoodSeries(write_phantom(work / "phantom")), good)
        faults = verdicts(FAULTS, args.base, good, installed, work)
        variants = verdicts(VARIANTS, args.base, good, installed, work)
    write_text(args.out / "readers.md", page(faults, variants, args.base, list(installed)))


if __name__ == "__main__":
    main()
