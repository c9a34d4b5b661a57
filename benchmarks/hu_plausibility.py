"""What the shares of air, fat, soft tissue and bone catch of a wrong rescale, and what they do not.

    .venv/bin/python -m benchmarks.hu_plausibility

Every real series at hand (ICHSEQ_REAL_DATA, by default ../shared/data; without it the synthetic heads alone) and synthetic heads of
64 to 512 pixels, each as it is and with each fault put into all slices, then into one slice after the other. Writes
`benchmarks/results/hu_plausibility.md`. A minute on one core.
"""

import argparse
import os
import tempfile
import timeit
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ich_seq.dicom import PixelLayout, ReadOptions, SliceHeader, read_study_files
from ich_seq.dicom.checks import Rescale, rescale_of
from ich_seq.dicom.elements import FileFaultError
from ich_seq.dicom.modality_lut import ModalityLut
from ich_seq.dicom.pixels import hu_of_stored, stored_values, to_hu
from ich_seq.dicom.plausibility import CLASSES, HuCounts, SliceValues, count_hu, judge, rescale_outliers
from ich_seq.files import write_text
from ich_seq.phantom.cohort import write_cohort
from ich_seq.phantom.spec import CohortSpec

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
SERIES = ("rsna_series_ID_52c1ab5a", "ge_tilt_variable_spacing", "labelled_studies/*")
PLASTIC, SINGLE = "philips_phantom_5mm", "rsna_slices"
PHANTOMS = ((0, 64, 20), (1, 96, 12), (2, 128, 24), (3, 128, 8), (4, 256, 20), (5, 512, 20))
"""Seed, matrix and slices of the synthetic heads; two of each."""


@dataclass(frozen=True)
class Stored:
    """One slice before it is HU; `header` whether the header says how it differs from its neighbours."""

    values: np.ndarray
    layout: PixelLayout
    rescale: Rescale
    header: bool = True


Fault = Callable[[Stored], Stored]


def _hu(slice_: Stored) -> np.ndarray:
    return to_hu(slice_.values, slice_.rescale)


def _intercept(change: Callable[[float], float]) -> Fault:
    return lambda s: replace(s, rescale=Rescale(s.rescale.slope, change(s.rescale.intercept)))


def _slope(factor: float) -> Fault:
    return lambda s: replace(s, rescale=Rescale(s.rescale.slope * factor, s.rescale.intercept))


def _values(change: Callable[[Stored], np.ndarray], **layout: int) -> Fault:
    """Other stored values under the same header, as int32."""
    return lambda s: replace(
        s, values=change(s).astype(np.int32), layout=replace(s.layout, bits_stored=16, **layout), header=False
    )


def _inverted(slice_: Stored) -> np.ndarray:
    lowest = -1024 if slice_.layout.pixel_representation and not slice_.rescale.intercept else 0
    return 2 * lowest + 4095 - slice_.values.astype(np.int32)


def _swapped(slice_: Stored) -> np.ndarray:
    return slice_.values.astype(np.int16 if slice_.layout.pixel_representation else np.uint16).byteswap()


def _as_hu(change: Callable[[np.ndarray], np.ndarray]) -> Fault:
    """Other HU, stored as they are."""

    def fault(slice_: Stored) -> Stored:
        layout = replace(slice_.layout, bits_stored=16, pixel_representation=1)
        return Stored(change(_hu(slice_)).astype(np.int32), layout, Rescale(1.0, 0.0), header=False)

    return fault


FAULTS: dict[str, Fault] = {
    "intercept lost": _intercept(lambda value: 0.0 if value else 1024.0),
    "intercept twice": _intercept(lambda value: 2 * value or -1024.0),
    "inverted": _values(_inverted),
    "bytes swapped": _values(_swapped),
    "HU modulo 4096, not unwrapped": _as_hu(lambda hu: hu % 4096),
    "signed read as unsigned": _values(lambda s: s.values.astype(np.int32) & 0xFFFF),
    "slope twice": _slope(2.0),
    "slope halved": _slope(0.5),
    "200 HU too high": _intercept(lambda value: value + 200),
    "200 HU too low": _intercept(lambda value: value - 200),
    "100 HU too high": _intercept(lambda value: value + 100),
    "100 HU too low": _intercept(lambda value: value - 100),
    "50 HU too high": _intercept(lambda value: value + 50),
    "24 HU too low": _intercept(lambda value: value - 24),
    "windowed, 0 to 80 HU": _as_hu(lambda hu: np.clip(hu, 0, 80)),
    "clipped, -200 to 500 HU": _as_hu(lambda hu: np.clip(hu, -200, 500)),
    "clipped, -1000 to 1000 HU": _as_hu(lambda hu: np.clip(hu, -1000, 1000)),
}


def stored_slices(headers: Sequence[SliceHeader]) -> list[Stored]:
    """The slices of a series that can be decoded, in order."""
    found = []
    for header in headers:
        rescale = rescale_of(header)
        if rescale is None or isinstance(rescale, ModalityLut):
            continue
        try:
            values, _ = stored_values(header)
        except FileFaultError:
            continue
        found.append(Stored(values, header.pixels, rescale))
    return found


def chosen_series(folder: Path) -> Iterator[list[Stored]]:
    """The slices of each study's series in a folder."""
    for study in read_study_files([folder], options=ReadOptions(allow_incomplete=True)).studies:
        if study.chosen is not None:
            yield stored_slices(study.chosen.headers)


def bases(data: Path) -> Iterator[tuple[str, str, list[Stored]]]:
    """Kind, name and slices of every series."""
    for pattern in SERIES:
        for folder in sorted(data.glob(pattern)):
            for slices in chosen_series(folder):
                yield "real head", folder.name, slices
    for folder in data.glob(PLASTIC):
        for slices in chosen_series(folder):
            yield "plastic", folder.name, slices
    for seed, matrix, count in PHANTOMS:
        with tempfile.TemporaryDirectory() as folder:
            spec = {"studies": 2, "seed": seed, "slices": (count, count), "matrices": (matrix,)}
            write_cohort(CohortSpec.model_validate(spec), Path(folder) / "out")
            for number, slices in enumerate(chosen_series(Path(folder) / "out" / "stage_2_train")):
                yield "synthetic", f"synthetic, seed {seed}, {matrix} pixels, {'ab'[number]}", slices
    for folder in data.glob(SINGLE):
        for slices in chosen_series(folder):
            yield "one slice", folder.name, slices


def counted(slice_: Stored) -> HuCounts:
    """The classes of one slice, as reading counts them."""
    decoded = hu_of_stored(slice_.values, slice_.layout, slice_.rescale)
    return count_hu(decoded.hu, decoded.padding_pixels)


def compared(counts: HuCounts, slice_: Stored) -> SliceValues:
    """A slice as its neighbours see it."""
    stored_as = (slice_.rescale, slice_.layout.bits_stored) if slice_.header else "as the others"
    return SliceValues(counts, stored_as, 0)


class Tally:
    """What each fault comes to, over all bases."""

    def __init__(self) -> None:
        self.shares: list[str] = []
        self.whole: dict[tuple[str, str], Counter[str]] = {}
        self.single: dict[tuple[str, str], Counter[str]] = {}
        self.steps: dict[str, float] = {}
        self.false_outliers = 0

    def add(self, kind: str, name: str, slices: list[Stored]) -> None:
        """One series as it is, and with each fault."""
        counts = [counted(slice_) for slice_ in slices]
        if kind != "one slice":
            self.shares.append(share_row(name, counts))
        sound = [SliceValues(each, "as the others", 0) for each in counts]
        self.false_outliers += len(rescale_outliers(sound))
        self._note("none", kind, counts)
        if len(counts) > 1:
            self.steps[kind] = max(self.steps.get(kind, 0.0), largest_step(counts))
        for fault, change in FAULTS.items():
            if fault == "signed read as unsigned" and all(slice_.values.min() >= 0 for slice_ in slices):
                continue
            wrong = [change(slice_) for slice_ in slices]
            faulty = [counted(slice_) for slice_ in wrong]
            self._note(fault, kind, faulty)
            for place in range(len(slices) if len(slices) > 1 else 0):
                mixed = [*sound]
                mixed[place] = compared(faulty[place], wrong[place])
                word = "found" if rescale_outliers(mixed) == [place] else "not found"
                self.single.setdefault((fault, kind), Counter())[word] += 1

    def _note(self, fault: str, kind: str, counts: Sequence[HuCounts]) -> None:
        found = judge(counts)
        word = "silent" if found is None else found.severity.name.lower()
        self.whole.setdefault((fault, kind), Counter())[word] += 1


def largest_step(counts: Sequence[HuCounts]) -> float:
    """The largest distance of a slice from the neighbour that is more like it."""
    shares = np.array([each.pixels for each in counts], float)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1)
    steps = 0.5 * np.abs(np.diff(shares, axis=0)).sum(axis=1)
    return float(np.minimum(np.append(steps, steps[-1]), np.insert(steps, 0, steps[0])).max())


def share_row(name: str, counts: Sequence[HuCounts]) -> str:
    """Shares of one series: the first two of the image, the others of the body."""
    total = np.array([each.pixels for each in counts], float).sum(axis=0)
    shares = [*(total[:2] / total.sum()), *(total[2:] / total[2:].sum())]
    return f"| {name} | {len(counts)} | " + " | ".join(f"{share:.3f}" for share in shares) + " |"


def fault_rows(
    found: Mapping[tuple[str, str], Counter[str]], kinds: Sequence[str], words: Sequence[str], faults: Sequence[str]
) -> list[str]:
    """One row a fault: how often it came to each of `words`, of all, for each kind of series."""
    rows = []
    for fault in faults:
        counts = [found.get((fault, kind), Counter()) for kind in kinds]
        cells = [
            f"{' + '.join(str(each[word]) for word in words)} of {each.total()}" if each else "-" for each in counts
        ]
        rows.append(f"| {fault} | " + " | ".join(cells) + " |")
    return rows


def cost_ms() -> float:
    """Milliseconds to count one slice of 512 x 512, the best mean of twenty."""
    hu = np.random.default_rng(0).normal(-300, 600, (512, 512)).astype(np.float32)
    return 1000 / 20 * min(timeit.repeat(lambda: count_hu(hu, 0), number=20, repeat=5))


def page(tally: Tally, kinds: Sequence[str], stacks: Sequence[str]) -> str:
    """The result in words and tables."""
    newline = "\n"
    steps = ", ".join(f"{step:.2f} ({kind})" for kind, step in tally.steps.items())
    return f"""# HU plausibility: what the shares of air, fat, soft tissue and bone catch

`.venv/bin/python -m benchmarks.hu_plausibility`. Rules and limits: `ich_seq/dicom/plausibility.py`. Counting costs {cost_ms():.2f} ms
a slice of 512 x 512.

## Shares of each series as it is

Below air and air are shares of the image without padding, the others of what is neither ("the body").

| series | slices | {" | ".join(CLASSES)} |
| --- | ---: |{" ---: |" * len(CLASSES)}
{newline.join(tally.shares)}

## A fault in every slice: refused + warned of, of how many series

"One slice" are single RSNA slices, each a scan of its own, vertex and skull base among them: judged by wider limits, never warned of.

| fault | {" | ".join(kinds)} |
| --- |{" --- |" * len(kinds)}
{newline.join(fault_rows(tally.whole, kinds, ("refused", "warning"), ("none", *FAULTS)))}

## A fault in one slice: in how many places it alone is found (W-RESCALE-OUTLIER)

Faults of the rescale stand in the header and need a step of 0.15 to be found, faults of the values under an unchanged header one of
0.30. Without a fault {tally.false_outliers} slices are called outliers; the largest step from the more similar neighbour is {steps}.

| fault | {" | ".join(stacks)} |
| --- |{" --- |" * len(stacks)}
{newline.join(fault_rows(tally.single, stacks, ("found",), tuple(FAULTS)))}

## Blind spots

- Values of the wrong sign where only padding is negative, as in RSNA's signed slices: the tissue is right then.
- Shifts of some 50 HU and less, and clipping that keeps air and bone: the shares stay those of a head.
- One slice with a wrong slope or a shift of 100 HU near the vertex or the skull base: there is little soft tissue to miss.
- Single slices: a vertex slice holds hardly anything but air, so for them only the limits of air, and gross ones of the rest, apply.
- A head of plastic passes as a head: soft tissue is .09 of its body, and a head that was scanned in part may have little.
- A neck or another body part with the shares of a head; the header's BodyPartExamined decides together with the coverage (E-NOT-HEAD).
"""


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    data = Path(os.environ.get("ICHSEQ_REAL_DATA", PROJECT.parent / "shared" / "data"))
    tally = Tally()
    kinds: list[str] = []
    for kind, name, slices in bases(data):
        if kind not in kinds:
            kinds.append(kind)
        tally.add(kind, name, slices)
    write_text(args.out / "hu_plausibility.md", page(tally, kinds, [kind for kind in kinds if kind != "one slice"]))
    print(args.out / "hu_plausibility.md")


if __name__ == "__main__":
    main()
