"""The scale of explanations: the 99th percentile over validation slices that have the label, and nobody else's."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from tiny_model import load_tiny_model, write_tiny_model

from ich_seq.cli import main
from ich_seq.config import SplitConfig
from ich_seq.errors import DatasetError
from ich_seq.evaluation.heat_scale import fit_heat_scale
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.index import IndexChoices, index_dataset
from ich_seq.manifest.table import write_table
from ich_seq.model.bundle import read_info
from ich_seq.model.heat_scale import read_heat_scale
from ich_seq.nifti import read_square_slice
from ich_seq.phantom.cohort import CohortSpec, write_cohort
from ich_seq.study.gradcam import GradCam


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame, Path]:
    """Four phantoms whose bleeds are subdural only, two of them for validation; and a tiny model's folder."""
    base = tmp_path_factory.mktemp("scale")
    shares = dict.fromkeys(("epidural", "intraparenchymal", "intraventricular", "subarachnoid"), 0.0) | {
        "subdural": 1.0
    }
    spec = CohortSpec(studies=4, seed=5, matrices=(64,), slices=(20, 20), prevalence=shares, studies_per_patient=1.0)
    root = write_cohort(spec, base / "cohort")
    table, _ = index_dataset("phantom", root, SplitConfig(), IndexChoices(jobs=1))
    patients = sorted(table["patient_id"].unique())
    table["split"] = np.where(table["patient_id"].isin(patients[:2]), "validation", "stage_one")
    table["split"] = table["split"].astype("str")
    write_tiny_model(base / "model", size=64)
    return root, table, base / "model"


def test_constants_are_the_percentile_by_hand(cohort: tuple[Path, pd.DataFrame, Path]) -> None:
    root, table, folder = cohort
    model = load_tiny_model(folder)
    scale = fit_heat_scale(model, table, root)
    cam = GradCam(model.cnn, model.pca, model.lstm)
    cells: dict[tuple[str, str], list[np.ndarray]] = {}
    for _, rows in table[table["split"] == "validation"].groupby("series_instance_uid"):
        ordered = rows.sort_values("position_mm")
        positive = ordered["subdural"].to_numpy() == 1  # the only kind of bleed, so `any` too
        seen = cam.look([read_square_slice(root / path, -1) for path in ordered["path"]], range(len(ordered)))
        refined = cam.refined(seen.logits, seen.embedding)[0].detach()
        for name in ("subdural", "any"):
            label = LABEL_NAMES.index(name)
            for stage, maps, logits in (
                ("one", cam.stage_one(seen, label), seen.logits),
                ("two", cam.stage_two(seen, label), refined),
            ):
                heat = maps * torch.sigmoid(logits[:, label])[:, None, None]
                cells.setdefault((stage, name), []).append(heat.numpy()[positive].ravel())
    warm = 0
    for (stage, name), found in cells.items():
        expected = np.percentile(np.concatenate(found), 99)
        assert (scale.find(stage, name).constant or 0.0) == pytest.approx(expected, rel=1e-4)
        warm += expected > 0
    assert warm >= 2
    assert scale.find("one", "any").positives == table[table["split"] == "validation"]["any"].sum()
    assert scale.find("one", "any").threshold is not None
    assert (scale.patients, scale.scans, scale.slices) == (2, 2, 40)


def test_a_label_that_no_validation_slice_has_gets_no_constant(cohort: tuple[Path, pd.DataFrame, Path]) -> None:
    root, table, folder = cohort
    scale = fit_heat_scale(load_tiny_model(folder), table, root)
    for stage in ("one", "two"):
        assert (scale.find(stage, "epidural").constant, scale.find(stage, "epidural").threshold) == (None, None)


def test_a_table_without_validation_slices_or_positives_is_refused(cohort: tuple[Path, pd.DataFrame, Path]) -> None:
    root, table, folder = cohort
    model = load_tiny_model(folder)
    with pytest.raises(DatasetError, match="no slices in the split `validation`"):
        fit_heat_scale(model, table[table["split"] == "stage_one"], root)
    healthy = table[table["any"] == 0]
    with pytest.raises(DatasetError, match="no validation slice has any label"):
        fit_heat_scale(model, healthy, root)
    with pytest.raises(DatasetError, match="labels are of whole scans"):
        fit_heat_scale(model, table.assign(labelled="scan"), root)


def test_the_command_puts_the_scale_beside_the_model(cohort: tuple[Path, pd.DataFrame, Path], tmp_path: Path) -> None:
    root, table, folder = cohort
    write_table(table, tmp_path / "table.parquet")
    words = ["explain-scale", "--model", str(folder), "--table", str(tmp_path / "table.parquet"), "--root", str(root)]
    done = CliRunner().invoke(main, [*words, "--jobs", "1"])
    assert done.exit_code == 0, done.output
    assert "so nothing is drawn, for: epidural, intraparenchymal" in done.output
    assert read_heat_scale(folder, read_info(folder)) == fit_heat_scale(load_tiny_model(folder), table, root)
    assert CliRunner().invoke(main, ["explain-scale", "--model", str(folder)]).exit_code == 2
