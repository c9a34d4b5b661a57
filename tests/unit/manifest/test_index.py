import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from ich_seq.cli.index import index
from ich_seq.config import SplitConfig
from ich_seq.errors import DatasetError, OutputError
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.description import load_description, shipped_descriptions
from ich_seq.manifest.index import IndexChoices, index_dataset
from ich_seq.manifest.split import SPLITS, check_no_leak
from ich_seq.manifest.table import COLUMNS, OPTIONAL_COLUMNS, read_table, write_table

from .conftest import RsnaCopy, rsna_id, write_slice

SPLIT = SplitConfig(seed=1)
MISSING_LABELS = ["no slice shows subdural"]  # the copy has four subtypes


@pytest.fixture
def table(rsna: RsnaCopy) -> pd.DataFrame:
    return index_dataset("phantom", rsna.root, SPLIT, IndexChoices(jobs=1))[0]


def test_every_image_is_one_row_with_its_labels_and_identifiers(rsna: RsnaCopy, table: pd.DataFrame):
    assert {name: str(kind) for name, kind in table.dtypes.items()} == COLUMNS | OPTIONAL_COLUMNS
    assert len(table) == len(rsna.images) == 84
    for row in table.to_dict("records"):
        facts = rsna.images[row["sop_instance_uid"]]
        assert row["path"] == f"stage_2_train/{row['sop_instance_uid']}.dcm"
        assert (row["patient_id"], row["study_instance_uid"]) == (facts["patient"], facts["study"])
        assert [row[name] for name in LABEL_NAMES] == [facts[name] for name in LABEL_NAMES]


def test_slices_of_a_series_run_from_feet_to_head_along_the_tilted_normal(rsna: RsnaCopy, table: pd.DataFrame):
    # The normal of rows tilted by 12 degrees is (0, -sin, cos); both z and -y sin grow by the same factor.
    tilt = math.radians(12)
    for _, series in table.groupby("series_instance_uid", sort=False):
        z = np.array([rsna.images[image]["z"] for image in series["sop_instance_uid"]])
        assert z.tolist() == sorted(z)
        along = 100 * math.sin(tilt) + z * (math.sin(tilt) ** 2 + math.cos(tilt))
        # The header's cosines are written with six decimals: 1e-6 of some 200 mm.
        np.testing.assert_allclose(series["position_mm"], along, atol=5e-4)


def test_the_number_of_processes_does_not_change_the_table(rsna: RsnaCopy, table: pd.DataFrame, monkeypatch):
    monkeypatch.setattr("ich_seq.manifest.headers._CHUNK", 30)
    pd.testing.assert_frame_equal(index_dataset("phantom", rsna.root, SPLIT, IndexChoices(jobs=2))[0], table)


def test_patients_with_two_series_stay_on_one_side(table: pd.DataFrame):
    check_no_leak(table)
    assert table.groupby("patient_id")["series_instance_uid"].nunique().value_counts().to_dict() == {1: 10, 2: 2}
    assert set(table["split"]) == set(SPLITS)


def test_the_table_comes_back_from_parquet_as_it_was(table: pd.DataFrame, tmp_path: Path):
    write_table(table, tmp_path / "table.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "table.parquet"), table)


def test_one_file_of_84_that_cannot_be_read_is_refused_because_it_is_more_than_1_percent(rsna: RsnaCopy):
    image = next(iter(rsna.images))
    rsna.path(image).write_bytes(b"not DICOM" * 100)
    with pytest.raises(DatasetError, match=rf"more than 1% of 84: 1 files cannot be used and are dropped: {image}"):
        index_dataset("phantom", rsna.root, SPLIT, IndexChoices(jobs=1))


def add_patients(rsna: RsnaCopy) -> None:
    """60 more single slices, so that one image is below 1 %."""
    for number in range(60):
        image = rsna_id("more", number)
        facts = {"patient": f"m{number}", "study": f"st{number}", "series": f"se{number}", "z": 1.0}
        rsna.images[image] = facts | dict.fromkeys(LABEL_NAMES, 0)
        write_slice(rsna.path(image), facts)
    rsna.write_labels(rsna.rows())


@pytest.mark.parametrize("fault", ["not DICOM", "truncated"])
def test_a_file_that_cannot_be_used_is_dropped_with_a_note_and_never_becomes_a_black_image(rsna: RsnaCopy, fault: str):
    add_patients(rsna)
    image = next(iter(rsna.images))
    content = rsna.path(image).read_bytes()
    rsna.path(image).write_bytes(b"not DICOM" * 100 if fault == "not DICOM" else content[:-100])
    table, notes = index_dataset("phantom", rsna.root, SPLIT, IndexChoices(jobs=1))
    assert len(table) == 143
    assert image not in set(table["sop_instance_uid"])
    assert [note.split(";")[0].split(":")[0] for note in notes] == [
        "1 files cannot be used and are dropped",
        *MISSING_LABELS,
    ]
    assert image in notes[0]


@pytest.mark.parametrize("lacking", ["label", "image"])
def test_an_image_without_label_or_a_label_without_image_is_noted_below_1_percent(rsna: RsnaCopy, lacking: str):
    add_patients(rsna)
    image = next(iter(rsna.images))
    if lacking == "image":
        rsna.path(image).unlink()
        expected = f"1 labels have no image and are dropped: {image}"
    else:
        rsna.write_labels([row for row in rsna.rows() if not row.startswith(image)])
        expected = f"1 images have no label and are dropped: {image}"
    table, notes = index_dataset("phantom", rsna.root, SPLIT, IndexChoices(jobs=1))
    assert notes == [expected, *MISSING_LABELS]
    assert len(table) == 143


def test_more_than_1_percent_of_labels_without_image_is_refused(rsna: RsnaCopy):
    for image in list(rsna.images)[:2]:
        rsna.path(image).unlink()
    with pytest.raises(DatasetError, match="more than 1% of 84: 2 labels have no image"):
        index_dataset("phantom", rsna.root, SPLIT, IndexChoices(jobs=1))


def test_two_files_of_one_slice_are_refused(rsna: RsnaCopy):
    add_patients(rsna)
    first, second = list(rsna.images)[:2]
    rsna.path(second).write_bytes(rsna.path(first).read_bytes())
    with pytest.raises(DatasetError, match="2 files share a SOPInstanceUID"):
        index_dataset("phantom", rsna.root, SPLIT, IndexChoices(jobs=1))


def test_rsnas_truncated_image_is_left_out_with_its_reason_and_counts_are_compared(rsna: RsnaCopy):
    image = next(iter(rsna.images))
    facts = rsna.images.pop(image)
    rsna.path(image).unlink()
    rsna.images["ID_6431af929"] = facts
    write_slice(rsna.path("ID_6431af929"), facts)
    rsna.write_labels(rsna.rows())
    table, notes = index_dataset("rsna2019", rsna.root, SPLIT, IndexChoices(jobs=1))
    assert len(table) == 83
    assert notes[0] == "ID_6431af929.dcm: left out: truncated: 153,710 of 524,288 bytes of pixel data"
    assert notes[2:] == [
        "83 images in the table; a full copy gives 752,802",
        "14 series in the table; a full copy gives 21,744",
        "12 patients in the table; a full copy gives 18,938",
    ]


@pytest.mark.parametrize(
    ("name", "folder", "message"),
    [
        ("rsna2018", "", "rsna2018: no such dataset; known are .*rsna2019"),
        ("phantom", "nowhere", "no such folder; --root is where"),
        ("phantom", "stage_2_train", "no such file of labels"),
    ],
)
def test_what_is_not_there_is_named(rsna: RsnaCopy, name: str, folder: str, message: str):
    with pytest.raises(DatasetError, match=message):
        index_dataset(name, rsna.root / folder, SPLIT, IndexChoices(jobs=1))


def test_a_folder_without_images_is_refused(rsna: RsnaCopy):
    (rsna.root / "stage_2_train").rename(rsna.root / "other")
    with pytest.raises(DatasetError, match=r"nothing matches stage_2_train/\*\.dcm"):
        index_dataset("phantom", rsna.root, SPLIT, IndexChoices(jobs=1))


@pytest.mark.parametrize("name", shipped_descriptions())
def test_shipped_descriptions_load_and_name_a_source_and_a_licence(name: str):
    description = load_description(name)
    assert description.name == name
    assert description.source
    assert description.licence


def test_datasets_known_are_rsna_and_the_phantom():
    assert {"phantom", "rsna2019"} <= set(shipped_descriptions())


def test_another_file_is_no_table(tmp_path: Path, table: pd.DataFrame):
    (tmp_path / "text.parquet").write_text("no")
    table.drop(columns="any").to_parquet(tmp_path / "less.parquet")
    table.astype({"any": "float64"}).to_parquet(tmp_path / "floats.parquet")
    for name, message in {
        "none": "no readable table",
        "text": "no readable table",
        "less": "no column any",
        "floats": "column any is float64, not uint8",
    }.items():
        with pytest.raises(DatasetError, match=f"{name}.parquet: .*{message}"):
            read_table(tmp_path / f"{name}.parquet")


def test_the_command_writes_the_table_and_prints_what_is_in_it(rsna: RsnaCopy, tmp_path: Path):
    out = tmp_path / "new" / "table.parquet"
    arguments = ["phantom", "--root", str(rsna.root), "--out", str(out), "--seed", "1", "--jobs", "1"]
    result = CliRunner().invoke(index, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "all               12 patients      14 series       84 slices" in result.stdout
    assert "note: no slice shows subdural" in result.stderr
    pd.testing.assert_frame_equal(read_table(out), index_dataset("phantom", rsna.root, SPLIT, IndexChoices(jobs=1))[0])


def test_the_command_refuses_a_place_that_cannot_be_written_before_it_reads(rsna: RsnaCopy):
    arguments = ["phantom", "--root", str(rsna.root), "--out", f"{rsna.csv}/table.parquet", "--quiet"]
    result = CliRunner().invoke(index, arguments)
    assert isinstance(result.exception, OutputError)
