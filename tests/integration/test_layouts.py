"""One small synthetic cohort in the layout of every dataset: each is indexed, trained on, evaluated and scored by the commands."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from nifti_copies import nifti_of

from ich_seq.cli import main
from ich_seq.labels import LABEL_NAMES, SUBTYPE_NAMES
from ich_seq.nifti import read_stored_slice
from ich_seq.phantom.cohort import write_cohort
from ich_seq.phantom.spec import CohortSpec

STUDIES, SLICES = 12, 8
CONFIG = """
name = "layouts"
about = "Small enough to be trained once for each layout."
[split]
stage_one = 0.4
stage_two = 0.2
validation = 0.2
test = 0.2
[preprocess]
size = 32
[cnn]
backbone = "resnext14_8x4d"
weights = "none"
[train_cnn]
epochs = 1
batch_size = 16
workers = 0
precision = "fp32"
[features]
pca_components = 8
[lstm]
hidden = 8
layers = 1
[train_lstm]
epochs = 1
"""
# CT-ICH's own order; the last is the inverse of `any`.
CT_ICH_COLUMNS = ("Intraventricular", "Intraparenchymal", "Subarachnoid", "Epidural", "Subdural", "No_Hemorrhage")


@dataclass(frozen=True)
class Cohort:
    """The synthetic scans: where they lie and what is true of them."""

    root: Path
    config: Path
    studies: list[dict[str, Any]]

    def files(self, study: dict[str, Any]) -> list[Path]:
        """The DICOM files of a study, feet to head."""
        return [self.root / "stage_2_train" / f"{entry['file']}.dcm" for entry in study["slices"]]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    torch.set_num_threads(1)
    base = tmp_path_factory.mktemp("layouts")
    many = dict.fromkeys(SUBTYPE_NAMES, 0.4)
    values = {"studies": STUDIES, "seed": 3, "slices": (SLICES, SLICES), "matrices": (64,), "prevalence": many}
    write_cohort(CohortSpec.model_validate({**values, "rsna_like": True}), base / "rsna", 1, lambda *_: None)
    (base / "config.toml").write_text(CONFIG)
    return Cohort(
        base / "rsna", base / "config.toml", json.loads((base / "rsna" / "truth.json").read_text())["studies"]
    )


def ichseq(*words: object) -> str:
    """What a command prints, run in this process: its libraries are loaded once for all layouts."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def labels_of(entry: dict[str, Any], names: tuple[str, ...] = SUBTYPE_NAMES) -> list[str]:
    return [str(entry["labels"][name]) for name in names]


def write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    path.write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n")


def rsna2019(cohort: Cohort, root: Path) -> None:
    """As published, with the first study once more as images without labels."""
    shutil.copytree(cohort.root / "stage_2_train", root / "stage_2_train")
    shutil.copy(cohort.root / "stage_2_train.csv", root)
    (root / "stage_2_test").mkdir()
    rows = []
    for file in cohort.files(cohort.studies[0]):
        shutil.copy(file, root / "stage_2_test" / f"ID_test{file.stem[-5:]}.dcm")
        rows += [[f"ID_test{file.stem[-5:]}_{name}", "0.5"] for name in LABEL_NAMES]
    write_csv(root / "stage_2_sample_submission.csv", ["ID", "Label"], rows)


def ct_ich(cohort: Cohort, root: Path) -> None:
    """One volume a patient, numbered from 049; slices numbered from 1 in the file's order."""
    names = tuple(name.lower() for name in CT_ICH_COLUMNS[:-1])
    rows = []
    for number, study in enumerate(cohort.studies, start=49):
        nifti_of(cohort.files(study), root / "ct_scans" / f"{number:03d}.nii", "RAS")
        for place, entry in enumerate(study["slices"], start=1):
            absent = str(1 - entry["labels"]["any"])
            rows.append([str(number), str(place), *labels_of(entry, names), absent, "0"])
    header = ["PatientNumber", "SliceNumber", *CT_ICH_COLUMNS, "Fracture_Yes_No"]
    write_csv(root / "hemorrhage_diagnosis_raw_ct.csv", header, rows)


def bhsd(cohort: Cohort, root: Path) -> None:
    """Volumes and masks of one name, which is RSNA's patient and study; the phantom's masks have BHSD's values."""
    (root / "ground truths").mkdir(parents=True)
    for study in cohort.studies:
        name = f"{study['patient_id']}_{study['study_instance_uid']}.nii.gz"
        nifti_of(cohort.files(study), root / "images" / name)
        shutil.copy(cohort.root / study["mask"], root / "ground truths" / name)


def own_dicom(cohort: Cohort, root: Path) -> None:
    """A folder a study, labels by SOPInstanceUID."""
    rows = []
    for number, study in enumerate(cohort.studies):
        (root / f"scan {number}").mkdir(parents=True)
        for file, entry in zip(cohort.files(study), study["slices"], strict=True):
            shutil.copy(file, root / f"scan {number}" / file.name)
            rows.append([entry["sop_instance_uid"], *labels_of(entry), str(entry["labels"]["any"])])
    write_csv(root / "labels.csv", ["sop_instance_uid", *LABEL_NAMES], rows)


def own_nifti(cohort: Cohort, root: Path) -> None:
    """A volume a study, stored head first; labels by path and place in the file, without `any`."""
    rows = []
    for number, study in enumerate(cohort.studies):
        nifti_of(cohort.files(study), root / f"{number}.nii.gz", "LPI")
        for place, entry in enumerate(reversed(study["slices"])):
            rows.append([f"{number}.nii.gz", str(place), *labels_of(entry)])
    write_csv(root / "labels.csv", ["path", "slice", *SUBTYPE_NAMES], rows)


LAYOUTS: dict[str, Callable[[Cohort, Path], None]] = {
    "rsna2019": rsna2019,
    "ct_ich": ct_ich,
    "bhsd": bhsd,
    "own dicom": own_dicom,
    "own nifti": own_nifti,
}


def indexed(layout: str, cohort: Cohort, base: Path) -> pd.DataFrame:
    """The table that `index` writes for a layout made in `base`/data."""
    (base / "data").mkdir()
    LAYOUTS[layout](cohort, base / "data")
    words = ["--config", cohort.config, "--out", base / "table.parquet", "--jobs", "1", "--quiet"]
    ichseq("index", layout.split(maxsplit=1)[0], "--root", base / "data", *words)
    return pd.read_parquet(base / "table.parquet")


def truth_by_position(table: pd.DataFrame) -> list[tuple[int, ...]]:
    """The labels of every slice, scans in an order that no layout changes: that of their labels."""
    scans = table.sort_values("position_mm").groupby("series_instance_uid")[list(LABEL_NAMES)]
    return sorted(tuple(scan.to_numpy().ravel().tolist()) for _, scan in scans)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_indexed_trained_on_evaluated_and_scored(layout: str, cohort: Cohort, tmp_path: Path) -> None:
    table = indexed(layout, cohort, tmp_path)
    assert len(table) == STUDIES * SLICES
    assert table["series_instance_uid"].nunique() == STUDIES
    if layout != "bhsd":  # a mask makes a slice positive from its first voxel, the truth from 20 mm2 on
        expected = sorted(
            tuple(entry["labels"][name] for entry in study["slices"] for name in LABEL_NAMES)
            for study in cohort.studies
        )
        assert truth_by_position(table) == expected
    run = tmp_path / "run"
    common = ["--run", run, "--jobs", "1", "--quiet"]
    ichseq("train-cnn", "--config", cohort.config, "--table", tmp_path / "table.parquet", *common)
    for command in ("extract-features", "train-lstm", "evaluate"):
        ichseq(command, *common)
    evaluation = json.loads((run / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
    held_out = table[table["split"] == "test"]
    assert evaluation["by_slice"]["count"] == len(held_out)
    first = held_out[held_out["series_instance_uid"] == held_out["series_instance_uid"].iloc[0]]
    files = sorted({tmp_path / "data" / path for path in first["path"]})
    ichseq("score-study", *files, "--model", run / "model", "--out", tmp_path / "scored", "--jobs", "1", "--quiet")
    result = json.loads((tmp_path / "scored" / "result.json").read_text(encoding="utf-8"))
    assert len(result["slices"]) == SLICES
    assert result["source_format"] == ("dicom" if layout in ("rsna2019", "own dicom") else "nifti")
    if layout == "rsna2019":
        words = ["--root", tmp_path / "data", "--model", run / "model", "--out", tmp_path / "submission.csv"]
        ichseq("submit", *words, "--jobs", "1", "--quiet")
        submission, sample = (
            pd.read_csv(path)
            for path in (tmp_path / "submission.csv", tmp_path / "data" / "stage_2_sample_submission.csv")
        )
        assert submission["ID"].tolist() == sample["ID"].tolist()
        assert submission["Label"].between(0, 1).all()


def test_training_reads_the_same_pixels_from_every_layout(cohort: Cohort, tmp_path: Path) -> None:
    """Each layout's slices, found by their pixels alone, are those of the DICOM files; padding is air or below it."""
    digests = {}
    for layout in LAYOUTS:
        base = tmp_path / layout.replace(" ", "_")
        base.mkdir()
        table = indexed(layout, cohort, base)
        places = zip(table["path"], table["slice_index"], strict=True)
        slices = [np.maximum(read_stored_slice(base / "data" / path, int(index)), -1024) for path, index in places]
        digests[layout] = sorted(hu.tobytes() for hu in slices)
    assert all(found == digests["rsna2019"] for found in digests.values())


def test_cq500_is_indexed_by_scan_and_explored(cohort: Cohort, tmp_path: Path) -> None:
    columns = {"ICH": "any", "IPH": "intraparenchymal", "IVH": "intraventricular", "SDH": "subdural", "EDH": "epidural"}
    columns |= {"SAH": "subarachnoid"}
    rows = []
    for number, study in enumerate(cohort.studies):
        folder = tmp_path / "data" / f"CQ500CT{number} CQ500CT{number}" / "Unknown Study" / "CT 7mm"
        folder.mkdir(parents=True)
        for file in cohort.files(study):
            shutil.copy(file, folder / file.name)
        said = [str(study["labels"][name]) for name in columns.values()]
        rows.append([f"CQ500-CT-{number}", "B1", *said, *said, *["0"] * 6])  # the third reader sees nothing
    header = ["name", "Category", *(f"R{reader}:{column}" for reader in (1, 2, 3) for column in columns)]
    write_csv(tmp_path / "data" / "reads.csv", header, rows)
    words = ["--config", cohort.config, "--out", tmp_path / "table.parquet", "--jobs", "1", "--quiet"]
    ichseq("index", "cq500", "--root", tmp_path / "data", *words)
    table = pd.read_parquet(tmp_path / "table.parquet")
    scans = table.groupby("patient_id")[list(LABEL_NAMES)].first()
    expected = {f"CQ500-CT-{n}": [s["labels"][name] for name in LABEL_NAMES] for n, s in enumerate(cohort.studies)}
    assert {str(name): row.tolist() for name, row in scans.iterrows()} == expected
    assert set(table["labelled"]) == {"scan"}
    ichseq(
        "explore", "--table", tmp_path / "table.parquet", "--out", tmp_path / "page.html", "--sample", "4", "--quiet"
    )
    assert "cq500" in (tmp_path / "page.html").read_text(encoding="utf-8").lower()
