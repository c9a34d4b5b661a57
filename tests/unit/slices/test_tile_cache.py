"""The tile cache: what direct reading gives within half a step, whole parts only, and what it refuses."""

import signal
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from dicom_factory import make_series
from kills import command, digests, run

from ich_seq.cli import main
from ich_seq.config import PreprocessConfig, Window
from ich_seq.errors import CacheError, DatasetError, OutputError, StaleCacheError
from ich_seq.files import write_text
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.headers import read_headers
from ich_seq.manifest.table import PER_SLICE, write_table
from ich_seq.slices.tile_cache import TileCache, open_tile_cache
from ich_seq.slices.tile_fill import FillReport, fill_cache
from ich_seq.slices.tile_part import FORMAT_FILE, PARTS, part_paths
from ich_seq.slices.tiles import TileSource
from ich_seq.slices.window import Preprocess

CONFIG = PreprocessConfig(size=16)
SERIES, SLICES = 5, 4
HALF_A_STEP = 0.5 / 255 + 1e-6  # and the rounding of one division in float32


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for series in range(SERIES):
        make_series(tmp_path / "images" / f"s{series}", slices=SLICES, uid_seed=f"{series}")
    return tmp_path / "images"


def table_of(images: Path) -> pd.DataFrame:
    headers = read_headers(
        images, sorted(path.relative_to(images).as_posix() for path in images.rglob("*.dcm")), jobs=1
    )
    assert headers.failures == {}
    table = headers.table.assign(dataset="own", labelled=PER_SLICE)
    table["patient_id"] = table["path"].str[:2]
    table["split"] = np.where(table["path"].str.startswith("s0"), "validation", "stage_one")
    for name in LABEL_NAMES:
        table[name] = (np.arange(len(table)) % 2).astype(np.uint8)
    return table


def fill(images: Path, jobs: int = 1, table: pd.DataFrame | None = None) -> FillReport:
    wanted = table_of(images) if table is None else table
    return fill_cache(wanted, images, images.parent / "tiles", CONFIG, jobs)


def parts(images: Path) -> list[Path]:
    return part_paths(images.parent / "tiles" / PARTS)


def truncate(path: Path) -> bytes:
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    return whole


def batch(table: pd.DataFrame, origin: Path | TileCache, rows: list[int], workers: int = 0):
    source = TileSource(table, origin, Preprocess(CONFIG), workers)
    (found,) = source.batches([rows])
    return found, source


@pytest.mark.parametrize("workers", [0, 2])
def test_tiles_of_the_cache_are_those_of_the_images_within_half_a_step(images: Path, workers: int) -> None:
    table, rows = table_of(images), [7, 0, 19, 3, 12]
    direct, _ = batch(table, images, rows)
    cached, _ = batch(table, fill(images).cache, rows, workers)
    assert cached.tiles.dtype == torch.float32
    assert 0 < (direct.tiles - cached.tiles).abs().max() <= HALF_A_STEP
    assert torch.equal(direct.labels, cached.labels)


def test_tiles_of_the_cache_can_be_kept_in_memory(images: Path) -> None:
    table, cache = table_of(images), fill(images).cache
    source = TileSource(table, cache, Preprocess(CONFIG))
    read, _ = batch(table, cache, [4, 5])
    source.keep_in_memory()
    (kept,) = source.batches([[4, 5]])
    assert (read.tiles - kept.tiles).abs().max() <= 2**-12


def test_a_table_in_another_order_or_a_part_of_it_finds_its_slices(images: Path) -> None:
    table = table_of(images)
    cache = fill(images).cache
    fewer = table.sample(7, random_state=0)
    direct, _ = batch(fewer, images, list(range(7)))
    cached, _ = batch(fewer, cache, list(range(7)))
    assert (direct.tiles - cached.tiles).abs().max() <= HALF_A_STEP


def test_two_processes_write_the_bytes_of_one(images: Path, tmp_path: Path) -> None:
    fill(images)
    fill_cache(table_of(images), images, tmp_path / "two", CONFIG, jobs=2)
    assert len(parts(images)) == SERIES
    assert digests(tmp_path / "two", "**/*.*") == digests(tmp_path / "tiles", "**/*.*")


def test_a_part_that_is_gone_is_made_again_and_leftovers_are_removed(images: Path) -> None:
    fill(images)
    before, path = digests(images.parent / "tiles", "**/*.*"), parts(images)[2]
    path.unlink()
    path.with_name(f".writing-1-{path.name}").write_bytes(b"half a part")
    report = fill(images)
    assert (report.already_there, report.written) == (SERIES * SLICES - SLICES, SLICES)
    assert digests(images.parent / "tiles", "**/*.*") == before
    assert list((images.parent / "tiles" / PARTS).glob(".writing*")) == []


def test_run_again_nothing_is_written(images: Path) -> None:
    fill(images)
    before = {path: path.stat().st_mtime_ns for path in parts(images)}
    assert fill(images).written == 0
    assert {path: path.stat().st_mtime_ns for path in parts(images)} == before


def test_a_table_with_more_slices_is_refused_until_they_are_added(images: Path) -> None:
    table = table_of(images)
    fewer = table[~table["path"].str.startswith("s3")]
    cache = fill(images, table=fewer).cache
    with pytest.raises(CacheError, match=r"lacks 4 of 20 slices of the table, s3/.* first; run `ichseq cache-tiles"):
        cache.reader(table)
    report = fill(images, table=table)
    assert (report.already_there, report.written) == (16, 4)
    assert len(report.cache.reader(table)) == 20


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (PreprocessConfig(size=32), "of 16 px, .*asks for 32 px"),
        (PreprocessConfig(size=16, antialias=True), "asks for .*antialiased"),
        (
            PreprocessConfig(size=16, windows=(Window(level=50, width=80), *CONFIG.windows[1:])),
            "windows 40/80, .*asks for 16 px, windows 50/80",
        ),
    ],
)
def test_tiles_of_other_windows_or_size_are_refused_with_both(images: Path, other: PreprocessConfig, said: str) -> None:
    fill(images)
    with pytest.raises(StaleCacheError, match=said):
        open_tile_cache(images.parent / "tiles", other)
    with pytest.raises(StaleCacheError, match=said):
        fill_cache(table_of(images), images, images.parent / "tiles", other, 1)


def test_tiles_serve_any_mean_and_standard_deviation(images: Path) -> None:
    fill(images)
    other = PreprocessConfig(size=16, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    assert len(open_tile_cache(images.parent / "tiles", other).slices) == SERIES * SLICES


def test_an_unreadable_slice_is_recorded_and_dropped_as_direct_reading_drops_it(images: Path) -> None:
    table = table_of(images)
    truncate(images / table["path"].iloc[6])
    report = fill(images, table=table)
    direct, direct_source = batch(table, images, [5, 6, 7])
    cached, cached_source = batch(table, report.cache, [5, 6, 7])
    assert len(cached.labels) == len(direct.labels) == 2
    assert cached_source.unreadable == direct_source.unreadable == set(report.unreadable)
    assert Path(table["path"].iloc[6]).name in report.unreadable[0]


def test_a_slice_that_was_mended_is_read_the_next_time(images: Path) -> None:
    table = table_of(images)
    path = images / table["path"].iloc[6]
    whole = truncate(path)
    assert len(fill(images, table=table).unreadable) == 1
    assert len(fill(images, table=table).unreadable) == 1
    path.write_bytes(whole)
    report = fill(images, table=table)
    assert (report.unreadable, report.written) == ([], SLICES)
    assert len(batch(table, report.cache, [5, 6, 7])[0].labels) == 3


def test_more_than_one_percent_unreadable_is_refused_and_so_it_is_in_training(images: Path) -> None:
    table = table_of(images)
    for row in (6, 7):
        truncate(images / table["path"].iloc[row])
    with pytest.raises(DatasetError, match="2 of 20 slices cannot be read, more than 1%; the first: "):
        fill(images, table=table)
    source = TileSource(table[:8], open_tile_cache(images.parent / "tiles", CONFIG), Preprocess(CONFIG))
    with pytest.raises(DatasetError, match="2 of 8 training slices cannot be read, more than 1%"):
        list(source.batches([list(range(8))]))


def test_a_damaged_tile_is_refused_by_name_also_from_a_worker(images: Path) -> None:
    table = table_of(images)
    fill(images)
    path = parts(images)[0]
    with h5py.File(path) as file:
        place = file["tiles"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[place.byte_offset + place.size // 2] ^= 1
    path.write_bytes(content)
    cache = open_tile_cache(images.parent / "tiles", CONFIG)
    for workers in (0, 2):
        with pytest.raises(CacheError, match=f"^[^\n]*{path.name}: .*cannot be used .*remove the file[^\n]*$"):
            batch(table, cache, list(range(len(table))), workers)


@pytest.mark.parametrize("fault", ["truncated", "renamed", "relabelled", "link", "external", "no checksum", "type"])
def test_a_part_of_wrong_content_is_refused_and_made_again(images: Path, fault: str) -> None:
    fill(images)
    before, path = digests(images.parent / "tiles", "**/*.*"), parts(images)[1]
    if fault == "truncated":
        path.write_bytes(path.read_bytes()[:-400])
    elif fault == "renamed":
        path.rename(path.with_name("0" * 64 + ".h5"))
    else:
        tamper(path, fault)
    with pytest.raises(CacheError, match="cannot be used"):
        open_tile_cache(images.parent / "tiles", CONFIG)
    assert fill(images).written == SLICES
    assert digests(images.parent / "tiles", "**/*.*") == before


def tamper(path: Path, fault: str) -> None:
    with h5py.File(path, "a") as file:
        if fault == "relabelled":
            file["sop_instance_uid"][0] = "1.2.3"
            return
        shape = file["tiles"].shape
        del file["tiles"]
        if fault == "link":
            file["tiles"] = h5py.ExternalLink("/etc/passwd", "tiles")
        elif fault == "external":
            file.create_dataset("tiles", shape, np.uint8, external=[("/etc/passwd", 0, int(np.prod(shape)))])
        else:
            kind = np.uint8 if fault == "no checksum" else np.float32
            file.create_dataset("tiles", shape, kind, chunks=(1, *shape[1:]), fletcher32=fault == "type")


def test_a_link_among_the_parts_is_not_followed(images: Path, tmp_path: Path) -> None:
    fill(images)
    path = parts(images)[0]
    path.rename(tmp_path / "elsewhere.h5")
    path.symlink_to(tmp_path / "elsewhere.h5")
    assert len(open_tile_cache(images.parent / "tiles", CONFIG).parts) == SERIES - 1


@pytest.mark.parametrize("content", ["", "{}", '{"format": 2, "windows": [{"level": 40, "width": 80}], "size": 16}'])
def test_a_damaged_description_is_refused(images: Path, content: str) -> None:
    fill(images)
    write_text(images.parent / "tiles" / FORMAT_FILE, content)
    with pytest.raises(CacheError, match="tiles.json: damaged"):
        open_tile_cache(images.parent / "tiles", CONFIG)


def test_inspect_tells_a_tile_cache_by_its_tiles_and_parts(images: Path) -> None:
    fill(images)
    said = CliRunner().invoke(main, ["inspect", str(images.parent / "tiles")])
    assert said.exit_code == 0
    assert "a tile cache of 5 parts" in said.stdout
    assert "16 px, windows 40/80, 80/200, 40/380 HU" in said.stdout


def test_a_folder_without_tiles_says_which_command_makes_them(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="no tile cache here; run `ichseq cache-tiles` first"):
        open_tile_cache(tmp_path, CONFIG)


def test_a_folder_that_cannot_be_written_is_an_output_error(images: Path) -> None:
    (images.parent / "tiles").write_text("a file where the folder should be")
    with pytest.raises(OutputError):
        fill(images)


TINY = """
name = "tiny"
about = "One epoch of the smallest network."
[preprocess]
size = 16
[cnn]
backbone = "resnext14_8x4d"
weights = "none"
[train_cnn]
epochs = 1
batch_size = 8
workers = 0
precision = "fp32"
"""


def words_for(images: Path) -> list[str]:
    """`--config`, `--table` and `--root` of a small table on disk."""
    write_text(images.parent / "tiny.toml", TINY)
    write_table(table_of(images), images.parent / "table.parquet")
    names = {"--config": "tiny.toml", "--table": "table.parquet", "--root": "images"}
    return [word for flag, name in names.items() for word in (flag, str(images.parent / name))]


def test_training_reads_the_tiles_and_a_run_keeps_to_where_it_began(images: Path, tmp_path: Path) -> None:
    words, tiles, runs = words_for(images), str(tmp_path / "tiles"), [str(tmp_path / "a"), str(tmp_path / "b")]
    cli = CliRunner()
    made = cli.invoke(main, ["cache-tiles", *words, "--out", tiles, "--jobs", "1"])
    assert made.exit_code == 0, made.output
    assert "20 slices at 16 px" in made.stdout
    train = ["train-cnn", *words, "--jobs", "1", "--device", "cpu"]
    cached = cli.invoke(main, [*train, "--tiles", tiles, "--run", runs[0]])
    assert cached.exit_code == 0, cached.output
    direct = cli.invoke(main, [*train, "--run", runs[1]])
    assert direct.exit_code == 0, direct.output
    weights = [digests(Path(folder), "stage_one/cnn.safetensors") for folder in runs]
    assert weights[0] != weights[1]
    without = cli.invoke(main, [*train, "--run", runs[0]])
    assert (without.exit_code, "begun with tiles from the cache; go on with --tiles" in without.stderr) == (2, True)
    with_tiles = cli.invoke(main, [*train, "--tiles", tiles, "--run", runs[1]])
    assert (with_tiles.exit_code, "begun with tiles from the images; go on without" in with_tiles.stderr) == (2, True)


def test_a_fit_begun_from_the_images_does_not_take_up_the_cache_behind_the_record(images: Path, tmp_path: Path) -> None:
    words, tiles, folder = words_for(images), str(tmp_path / "tiles"), tmp_path / "run"
    cli = CliRunner()
    train = ["train-cnn", *words, "--jobs", "1", "--device", "cpu", "--run", str(folder)]
    assert cli.invoke(main, train).exit_code == 0
    (folder / "run.json").unlink()
    assert cli.invoke(main, ["cache-tiles", *words, "--out", tiles, "--jobs", "1"]).exit_code == 0
    write_text(folder / "run.json", '{"steps": {"tiles": {"from": "cache"}}}')
    refused = cli.invoke(main, [*train, "--tiles", tiles])
    assert (refused.exit_code, "made with another config or other data" in refused.stderr) == (6, True)


def test_killed_after_its_first_part_and_run_again_it_gives_the_parts_of_a_run_left_alone(
    images: Path, tmp_path: Path
) -> None:
    for series in range(40):  # enough that the first part is far from the last
        make_series(images / f"t{series}", slices=SLICES, uid_seed=f"1{series:02d}")
    fill(images)
    folder = tmp_path / "killed"
    again = ["cache-tiles", *words_for(images), "--out", str(folder), "--jobs", "1"]
    process = subprocess.Popen(command(*again), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not part_paths(folder / PARTS):
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    run(*again)
    assert digests(folder, "**/*.*") == digests(tmp_path / "tiles", "**/*.*")
