"""Neighbouring slices in training: the same tiles from images, from memory and as extraction and scoring make them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from dicom_factory import make_series

from ich_seq.config import PreprocessConfig, Window
from ich_seq.dicom import read_slice_hu
from ich_seq.errors import ConfigError, DatasetError
from ich_seq.labels import LABEL_NAMES
from ich_seq.slices.read import network_tiles
from ich_seq.slices.tile_fill import fill_cache
from ich_seq.slices.tile_part import TileFormat
from ich_seq.slices.tiles import TileSource
from ich_seq.slices.window import Preprocess
from ich_seq.volume import WHOLE_FILE

WINDOW = {"windows": (Window(level=60, width=40),), "mean": (0.0,), "std": (1.0,), "size": 16}
ASIP = PreprocessConfig.model_validate(WINDOW | {"adjacent_slices": 1})


def table_of(folder: Path, series: dict[str, int]) -> tuple[pd.DataFrame, dict[str, list[Path]]]:
    """Several series in one table, whose rows stand in no order."""
    parts, paths = [], {}
    for name, slices in series.items():
        paths[name] = make_series(folder / name, slices)
        part = pd.DataFrame(np.zeros((slices, 6), np.uint8), columns=list(LABEL_NAMES))
        parts.append(
            part.assign(
                path=[path.relative_to(folder).as_posix() for path in paths[name]],
                slice_index=np.int32(WHOLE_FILE),
                series_instance_uid=name,
                sop_instance_uid=[f"{name}.{place}" for place in range(slices)],
                position_mm=[5.0 * place for place in range(slices)],
            )
        )
    table = pd.concat(parts, ignore_index=True)
    return table.iloc[np.random.default_rng(0).permutation(len(table))].reset_index(drop=True), paths


def expected(table: pd.DataFrame, paths: dict[str, list[Path]], config: PreprocessConfig) -> list[torch.Tensor]:
    """Of each row what extraction reads of its series."""
    whole = {
        name: network_tiles(Preprocess(config), [read_slice_hu(path) for path in files], range(len(files)))
        for name, files in paths.items()
    }
    places = [int(uid.rpartition(".")[2]) for uid in table["sop_instance_uid"]]
    return [whole[name][place] for name, place in zip(table["series_instance_uid"], places, strict=True)]


@pytest.mark.parametrize("reach", [1, 2])
@pytest.mark.parametrize("in_memory", [False, True])
def test_training_reads_of_each_slice_what_extraction_reads(tmp_path: Path, in_memory: bool, reach: int) -> None:
    config = ASIP.model_copy(update={"adjacent_slices": reach})
    table, paths = table_of(tmp_path, {"1.2": 5, "1.3": 4})
    source = TileSource(table, tmp_path, Preprocess(config))
    if in_memory:
        source.keep_in_memory()
    batches = list(source.batches([[3, 0, 7], [1, 2, 4, 5, 6, 8]]))
    found = torch.cat([batch.tiles for batch in batches])
    wanted = expected(table, paths, config)
    in_order = torch.stack([wanted[row] for row in (3, 0, 7, 1, 2, 4, 5, 6, 8)])
    torch.testing.assert_close(found, in_order, rtol=0, atol=2**-12 if in_memory else 0.0)  # half a step of float16


def test_the_tile_cache_serves_neighbours_too_and_holds_each_slice_once(tmp_path: Path) -> None:
    table, paths = table_of(tmp_path / "images", {"1.2": 5, "1.3": 4})
    report = fill_cache(table, tmp_path / "images", tmp_path / "tiles", ASIP, jobs=1)
    assert report.cache.form == TileFormat.of(ASIP.model_copy(update={"adjacent_slices": 0}))
    (batch,) = TileSource(table, report.cache, Preprocess(ASIP)).batches([list(range(9))])
    wanted = torch.stack(expected(table, paths, ASIP))
    torch.testing.assert_close(batch.tiles, wanted, rtol=0, atol=1 / 510 + 1e-6)  # half a step of 255, and float32


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_neighbour_that_cannot_be_read_is_passed_over_as_if_its_file_were_absent(
    tmp_path: Path, in_memory: bool
) -> None:
    table, paths = table_of(tmp_path, {"1.2": 6, "1.3": 4})
    torn = paths["1.2"].pop(2)
    torn.write_bytes(torn.read_bytes()[:-100])
    source = TileSource(table, tmp_path, Preprocess(ASIP))
    if in_memory:
        source.keep_in_memory()
    (batch,) = source.batches([list(range(10))])
    scan = [read_slice_hu(path) for path in paths["1.2"]]
    whole = network_tiles(Preprocess(ASIP), scan, range(5))
    above = table.index[table["sop_instance_uid"] == "1.2.3"][0]
    found = batch.tiles[batch.places.tolist().index(above)]
    torch.testing.assert_close(found, whole[2], rtol=0, atol=2**-12)  # half a step of float16 where it was kept
    assert len(batch.tiles) == 9


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_slice_alone_in_its_series_is_left_out_and_named(tmp_path: Path, in_memory: bool) -> None:
    table, paths = table_of(tmp_path, {"1.2": 1, "1.3": 4})
    source = TileSource(table, tmp_path, Preprocess(ASIP))
    if in_memory:
        source.keep_in_memory()
    (batch,) = source.batches([list(range(5))])
    assert len(batch.tiles) == 4
    (reason,) = source.unreadable
    assert paths["1.2"][0].name in reason
    assert "reads neighbouring slices" in reason


def test_many_slices_alone_are_refused(tmp_path: Path) -> None:
    table, _ = table_of(tmp_path, {"1.2": 1, "1.3": 1, "1.4": 1})
    with pytest.raises(DatasetError, match="2 of 3 training slices cannot be read.*no other slice of its series"):
        TileSource(table, tmp_path, Preprocess(ASIP)).keep_in_memory()


def test_the_tile_cache_is_no_place_for_slices_divided_by_their_largest_hu(tmp_path: Path) -> None:
    divided = PreprocessConfig(windows=(), windowing="largest_absolute", mean=(0.5,), std=(0.5,))
    with pytest.raises(ConfigError, match="keeps 256 steps"):
        TileFormat.of(divided)
