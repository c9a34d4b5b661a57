"""The generated cohort of the benchmarks: as large as asked, as common as in RSNA 2019, and taken by `index`."""

from pathlib import Path

import pytest

from benchmarks.generated import PATIENT_PREVALENCE, SLICE_PREVALENCE, Part, make_table, write_images
from ich_seq.config import SplitConfig
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.index import index_dataset

PARTS = (Part(3_000, 3_300, 114_000), Part(300, 300, 10_400))


def test_it_has_the_sizes_asked_for_and_no_patient_in_two_parts() -> None:
    table = make_table(PARTS)
    assert len(table) == 124_400
    assert table["sop_instance_uid"].is_unique
    assert table["patient_id"].nunique() == 3_300
    slices = table.groupby("series_instance_uid").size()
    assert (len(slices), slices.min() >= 20, slices.max() <= 60) == (3_600, True, True)
    assert slices.median() in (33, 34, 35)  # 33 to 34 in RSNA's
    assert (table.groupby("series_instance_uid")["patient_id"].nunique() == 1).all()


def test_labels_are_as_common_as_in_rsna_and_run_over_neighbours() -> None:
    table = make_table(PARTS)
    by_patient = table.groupby("patient_id")[list(LABEL_NAMES)].max().mean()
    for name, share in PATIENT_PREVALENCE.items():
        # Five standard errors of a share of 3,300 patients, and as much again for the slices of a run.
        error = 5 * (share * (1 - share) / 3_300) ** 0.5
        assert by_patient[name] == pytest.approx(share, abs=error)
        assert table[name].mean() == pytest.approx(SLICE_PREVALENCE[name], rel=2 * error / share)
        starts = (table.groupby("series_instance_uid")[name].diff() == 1).sum()
        assert starts <= table.groupby("series_instance_uid")[name].max().sum(), "one run a scan"
    assert by_patient["any"] == pytest.approx(0.4041, abs=0.045)


def test_its_files_are_indexed_to_the_same_table(tmp_path: Path) -> None:
    table = make_table((Part(4, 5, 130),))
    write_images(tmp_path, table)
    found, notes = index_dataset("rsna2019", tmp_path, SplitConfig())
    same = ["patient_id", "series_instance_uid", "sop_instance_uid", "path", "position_mm", *LABEL_NAMES]
    assert found[same].equals(table[same])
    assert not any("dropped" in note for note in notes)
