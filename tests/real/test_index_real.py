"""Index real RSNA slices: 25 training images of 25 patients, read in place through a link."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ich_seq.config import SplitConfig
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.index import IndexChoices, index_dataset


@pytest.fixture
def rsna_root(real_data: Path, tmp_path: Path) -> Path:
    """RSNA's layout around the real slices, with all their labels in Kaggle's form."""
    facts = pd.read_csv(real_data / "rsna_slices" / "series.csv")
    lines = [f"{row['SOPInstanceUID']}_{name},{row[name]}" for _, row in facts.iterrows() for name in LABEL_NAMES]
    (tmp_path / "stage_2_train.csv").write_text("\n".join(["ID,Label", *lines]))
    (tmp_path / "stage_2_train").symlink_to(real_data / "rsna_slices")
    return tmp_path


def test_real_slices_keep_their_identifiers_labels_and_heights(real_data: Path, rsna_root: Path):
    table, notes = index_dataset("rsna2019", rsna_root, SplitConfig(), IndexChoices(jobs=1))
    facts = pd.read_csv(real_data / "rsna_slices" / "series.csv").set_index("SOPInstanceUID")
    expected = facts.loc[table["sop_instance_uid"]]
    assert len(table) == 25
    for column, here in {
        "PatientID": "patient_id",
        "StudyInstanceUID": "study_instance_uid",
        "SeriesInstanceUID": "series_instance_uid",
        **{name: name for name in LABEL_NAMES},
    }.items():
        assert table[here].tolist() == expected[column].tolist()
    assert set(table["rows"]) == {512}
    assert np.isfinite(table["position_mm"]).all()
    assert notes[0] == "25 images in the table; a full copy gives 752,802"
