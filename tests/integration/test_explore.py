"""Exploration: counts by hand, what is hidden of a header, and a page that needs nothing else."""

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from dicom_factory import make_series

from ich_seq.cli import main
from ich_seq.config import SplitConfig
from ich_seq.dicom.dump import HIDDEN, dump_header
from ich_seq.errors import DatasetError, PixelsUnreadableError
from ich_seq.evaluation.exploration import HU_EDGES, explore
from ich_seq.labels import ANY_INDEX, LABEL_NAMES, SUBTYPE_NAMES
from ich_seq.manifest.index import IndexChoices, index_dataset
from ich_seq.manifest.table import write_table

SPLIT = SplitConfig(stage_one=0.5, stage_two=0.0, validation=0.25, test=0.25)
MARKER = "Ophelia-Marker"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three patients with a series each; patient 0 has none, 1 subdural in two slices, 2 subdural and epidural in one."""
    rows = ["path," + ",".join(SUBTYPE_NAMES)]
    for number in range(3):

        def named(dataset, index, number=number) -> None:
            dataset.PatientID = f"p{number}"
            dataset.PatientName = MARKER
            dataset.StudyDescription = MARKER
            dataset.ReferringPhysicianName = MARKER

        for index, path in enumerate(
            make_series(tmp_path / "own" / f"s{number}", slices=6, uid_seed=f"{number}", edit=named)
        ):
            subdural = int((number == 1 and index in (2, 3)) or (number == 2 and index == 4))
            epidural = int(number == 2 and index == 4)
            rows.append(f"{path.relative_to(tmp_path / 'own').as_posix()},{epidural},0,0,0,{subdural}")
    (tmp_path / "own" / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "own"


def test_counts_are_those_of_the_labels(dataset: Path) -> None:
    table, _ = index_dataset("own", dataset, SPLIT, IndexChoices(jobs=1))
    found = explore(table, dataset, sample=8)
    assert found.totals == {"patients": 3, "series": 3, "slices": 18}
    epidural, subdural = LABEL_NAMES.index("epidural"), LABEL_NAMES.index("subdural")
    assert found.positive[:, subdural].tolist() == [2, 2, 3]
    assert found.positive[:, epidural].tolist() == [1, 1, 1]
    assert found.positive[:, ANY_INDEX].tolist() == [2, 2, 3]
    assert found.together[subdural, epidural] == found.together[epidural, subdural] == 1
    assert found.slices_per_series.tolist() == [6, 6, 6]
    assert found.spacing_mm == pytest.approx([5, 5, 5])
    assert found.tilt_deg == pytest.approx([0, 0, 0], abs=1e-6)
    assert found.hu_slices == (4, 3)
    assert found.hu_share.shape == (2, len(HU_EDGES) - 1)
    assert {example.title for example in found.examples} == {"none", "epidural", "subdural"}


def test_the_page_needs_nothing_else_and_names_nobody(dataset: Path, tmp_path: Path) -> None:
    table, _ = index_dataset("own", dataset, SPLIT, IndexChoices(jobs=1))
    write_table(table, tmp_path / "own.parquet")
    out = tmp_path / "pages" / "explore.html"
    done = CliRunner().invoke(
        main, ["explore", "--table", str(tmp_path / "own.parquet"), "--out", str(out), "--sample", "6"]
    )
    assert done.exit_code == 0, done.output
    assert "3 patients, 3 series, 18 slices" in done.output
    page = out.read_text()
    assert MARKER not in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert page.count("data:image/png") == 5
    for words in ("2 (66.7%)", "3 (16.7%)", "40 / 80", "0028,0010"):
        assert words in page


def test_a_header_is_dumped_without_names_dates_and_free_text(dataset: Path) -> None:
    lines = {line.keyword: line for line in dump_header(next((dataset / "s0").iterdir()))}
    assert lines["PatientName"].value == lines["StudyDescription"].value == HIDDEN
    assert lines["Rows"].value == "64"
    assert lines["Rows"].tag == "0028,0010"
    assert lines["ImagePositionPatient"].value.count("\\") == 2
    assert not any(MARKER in line.value for line in lines.values())


def test_a_header_is_dumped_without_text_in_coded_words_uids_and_numbers(tmp_path: Path) -> None:
    """Nothing keeps an exporter from writing a name into any of them."""

    def edit(one, index):
        one.BodyPartExamined = MARKER
        one.ImageType = ["ORIGINAL", MARKER, "AXIAL"]
        one.ScanOptions = "HELIX"
        one.StudyInstanceUID = MARKER
        one.PerformedProcedureStepStartDate = "20240101"

    (path,) = make_series(tmp_path, slices=1, edit=edit)
    path.write_bytes(path.read_bytes().replace(b"\x20\x00\x13\x00IS\x02\x001 ", b"\x20\x00\x13\x00IS\x02\x00AB"))
    lines = {line.keyword: line.value for line in dump_header(path)}
    for keyword in ("BodyPartExamined", "ImageType", "StudyInstanceUID", "InstanceNumber"):
        assert lines[keyword] == HIDDEN, keyword
    assert (lines["ScanOptions"], lines["Modality"], lines["Rows"]) == ("HELIX", "CT", "64")
    assert lines["SOPInstanceUID"].startswith("1.2.826.")


def test_what_cannot_be_read_is_counted_or_refused(dataset: Path, tmp_path: Path) -> None:
    table, _ = index_dataset("own", dataset, SPLIT, IndexChoices(jobs=1))
    broken = dataset / table["path"].iloc[0]
    broken.write_bytes(broken.read_bytes()[:-100])
    assert explore(table, dataset, sample=36).unreadable == 1
    for path in table["path"]:
        (dataset / path).write_bytes(b"")
    with pytest.raises(DatasetError, match="none of 9 sampled slices"):
        explore(table, dataset, sample=12)
    with pytest.raises(PixelsUnreadableError, match="D-NOT-DICOM"):
        dump_header(broken)
    assert np.all(table["slice_index"] == -1)
