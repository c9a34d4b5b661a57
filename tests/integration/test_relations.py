"""A series written in another way scores the same: HU, order and probabilities are identical, whatever the series.

Each relation is tried on series that hypothesis draws (4 to 8 slices of a small head; a few of them here, 200 in `make campaign`),
with a tiny seeded model.
"""

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from dicom_factory import make_slice, set_pixels, write
from faults import FAULTS, VARIANTS, GoodSeries
from faults.good import save, zip_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from outcomes import codes_of
from pydicom.uid import HTJ2KLossless, JPEGLossless, JPEGLosslessSV1
from tiny_model import load_tiny_model, write_tiny_model

from ich_seq.study.score import score_study

SIZE = 64
FEW = settings(max_examples=6, deadline=None, derandomize=True, database=None)
MANY = settings(max_examples=200, deadline=None, derandomize=True, database=None)


@dataclass(frozen=True)
class Head:
    """A small head to be drawn: where its bleeds are follows from `seed`."""

    seed: int
    slices: int
    spacing_mm: float
    tilt_deg: float
    signed: bool


HEADS = st.builds(
    Head,
    seed=st.integers(0, 10_000),
    slices=st.integers(4, 8),
    spacing_mm=st.sampled_from([2.5, 5.0, 7.0]),
    tilt_deg=st.sampled_from([0.0, 11.0, -18.5]),
    signed=st.booleans(),
)


@dataclass(frozen=True)
class Scored:
    """HU and positions feet to head, and both stages' probabilities of each slice."""

    hu: np.ndarray = field(compare=False)
    positions_mm: tuple[float, ...]
    probabilities: list[tuple[object, object]]
    input_sha256: str


def head_hu(head: Head, index: int) -> np.ndarray:
    """One slice in HU: air, fat under the skin, a ring of bone, brain with noise, and a bleed; the shares are those of a head."""
    rng = np.random.default_rng([head.seed, index])
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2 + 0.5
    radius = np.hypot(x / 23.0, y / (26.0 + 0.1 * index))
    hu = np.full((SIZE, SIZE), -1000.0)
    hu[radius <= 1.0] = -90.0
    hu[radius <= 0.94] = 900.0
    brain = radius <= 0.86
    hu[brain] = 32.0
    centre_x, centre_y = rng.uniform(-10, 10, 2)
    hu[brain & (np.hypot(x - centre_x, y - centre_y) < rng.uniform(2, 5))] = rng.integers(55, 80)
    return np.rint(hu + rng.normal(0, 3.5, hu.shape))


def write_head(head: Head, folder: Path) -> None:
    folder.mkdir(parents=True)
    for index in range(head.slices):
        dataset = make_slice(index, (SIZE, SIZE), head.spacing_mm, head.tilt_deg, uid_seed=str(head.seed))
        dataset.PixelSpacing = ["3.5", "3.5"]
        set_pixels(dataset, head_hu(head, index), head.signed)
        write(dataset, folder / f"{(index * 7919 + head.seed) % 1009:04d}.dcm")


@pytest.fixture(scope="module")
def score(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Scored]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tiny") / "model"
    write_tiny_model(folder)
    network = load_tiny_model(folder)

    def of(path: Path) -> Scored:
        volume = codes_of(path).volume
        assert volume is not None
        result = score_study(path, network)
        both = [(one.stage_one, one.stage_two) for one in result.slices]
        return Scored(volume.array(), volume.positions_mm, both, result.input_sha256)

    return of


@pytest.fixture(scope="module")
def drawn(score: Callable[[Path], Scored]) -> Iterator[Callable[[Head], tuple[Path, Scored]]]:
    """The folder of a head and what it scores; each head is written and scored once for all relations."""
    with tempfile.TemporaryDirectory() as base:

        @cache
        def of(head: Head) -> tuple[Path, Scored]:
            folder = Path(base) / f"{abs(hash(head)):x}"
            write_head(head, folder)
            return folder, score(folder)

        yield of


def shuffled(good: GoodSeries, out: Path, rng: random.Random) -> None:
    """Other names, in an order that tells nothing."""
    names = [f"IM{number:03d}" for number in range(len(good))]
    rng.shuffle(names)
    for path, name in zip(good.paths, names, strict=True):
        shutil.copyfile(path, out / name)


def with_junk(good: GoodSeries, out: Path, rng: random.Random) -> None:
    """Files that are no DICOM, and objects that are no CT, among the slices."""
    kinds = ("other_files", "other_objects_of_the_study", "a_dose_page", "a_localizer_among_the_slices", "dicomdir")
    FAULTS[rng.choice(kinds)].make(good, out)
    (out / "noise.bin").write_bytes(rng.randbytes(rng.randrange(5000)))


def with_a_duplicate(good: GoodSeries, out: Path, rng: random.Random) -> None:
    good.copy(out)
    shutil.copyfile(rng.choice(good.paths), out / "again.dcm")


def jpeg_lossless(syntax: str) -> Callable[[GoodSeries, Path, random.Random], None]:
    def change(good: GoodSeries, out: Path, _: random.Random) -> None:
        for path in good.paths:
            encode_jpeg(path, out / path.name, syntax)

    return change


def encode_jpeg(path: Path, out: Path, syntax: str) -> None:
    """By GDCM, which alone of the packages at hand writes JPEG lossless; the header stays as it was."""
    import gdcm
    import pydicom

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    kinds = {JPEGLossless: "JPEGLosslessProcess14", JPEGLosslessSV1: "JPEGLosslessProcess14_1"}
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, kinds[syntax])))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(out))
    assert writer.Write()
    encoded, dataset = pydicom.dcmread(out), pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = encoded.file_meta.TransferSyntaxUID
    dataset.PixelData = encoded.PixelData
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    save(dataset, out)


def htj2k(good: GoodSeries, out: Path, _: random.Random) -> None:
    """By OpenJPH, without loss; the header stays as it was."""
    import imagecodecs
    import pydicom
    from pydicom.encaps import encapsulate

    for path in good.paths:
        dataset = pydicom.dcmread(path)
        stream = imagecodecs.htj2k_encode(dataset.pixel_array, reversible=True)
        dataset.file_meta.TransferSyntaxUID = HTJ2KLossless
        dataset.PixelData = encapsulate([bytes(stream)])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        save(dataset, out / path.name)


def of_variant(name: str) -> Callable[[GoodSeries, Path, random.Random], None]:
    return lambda good, out, _: VARIANTS[name].make(good, out)


RELATIONS: dict[str, Callable[[GoodSeries, Path, random.Random], None]] = {
    "zip": shuffled,
    "shuffled": shuffled,
    "junk": with_junk,
    "duplicate": with_a_duplicate,
    "jpeg_lossless": jpeg_lossless(JPEGLossless),
    "jpeg_lossless_sv1": jpeg_lossless(JPEGLosslessSV1),
    "htj2k": htj2k,
    **{
        name: of_variant(name)
        for name in (
            *("implicit", "big_endian", "deflated", "rle", "jpeg_ls", "jpeg_2000"),
            *("sixteen_signed_bits", "twelve_signed_bits", "enhanced_multi_frame"),
        )
    },
}


@contextmanager
def rewritten(name: str, folder: Path, seed: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as base:
        out = Path(base) / "out"
        out.mkdir()
        RELATIONS[name](GoodSeries(folder), out, random.Random(seed))
        yield zip_folder(out, Path(base) / "out.zip") if name == "zip" else out


def check(name: str, head: Head, drawn: Callable[[Head], tuple[Path, Scored]], score: Callable[[Path], Scored]) -> None:
    folder, wanted = drawn(head)
    with rewritten(name, folder, head.seed) as path:
        found = score(path)
    np.testing.assert_array_equal(found.hu, wanted.hu)
    assert found == wanted


def test_a_head_is_no_other_head(drawn: Callable[[Head], tuple[Path, Scored]]) -> None:
    """The probabilities compared below are not the same for all: another head gets others, and so does each slice."""
    one, other = (drawn(Head(seed, 6, 5.0, 0.0, False))[1] for seed in (1, 2))
    assert one.probabilities != other.probabilities
    assert one.input_sha256 != other.input_sha256
    assert len({str(pair) for pair in one.probabilities}) == 6


@pytest.mark.parametrize("name", RELATIONS)
def test_the_same_said_in_another_way(
    drawn: Callable[[Head], tuple[Path, Scored]], score: Callable[[Path], Scored], name: str
) -> None:
    @FEW
    @given(HEADS)
    def holds(head: Head) -> None:
        check(name, head, drawn, score)

    holds()


@pytest.mark.campaign
@pytest.mark.parametrize("name", RELATIONS)
def test_relation(drawn: Callable[[Head], tuple[Path, Scored]], score: Callable[[Path], Scored], name: str) -> None:
    @MANY
    @given(HEADS)
    def holds(head: Head) -> None:
        check(name, head, drawn, score)

    holds()
