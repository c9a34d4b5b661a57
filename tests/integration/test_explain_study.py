"""`ichseq explain-study`: the patient's left stays left, nothing names anybody, and every output opens."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from click.testing import CliRunner, Result
from dicom_factory import make_series, ramp_hu, set_pixels
from heat_scales import plain_scale
from nifti_copies import nifti_of
from PIL import Image
from planted import found_in, plant, planted_names
from tiny_model import load_tiny_model, write_tiny_model
from torch import Tensor, nn
from torch.nn import functional

from ich_seq.cli import main
from ich_seq.config import PreprocessConfig
from ich_seq.labels import RESEARCH_NOTICE
from ich_seq.model.heat_scale import HeatScale, Stage
from ich_seq.model.torch_backend import TorchModel
from ich_seq.report.explanation_page import draw
from ich_seq.report.heat_picture import colours
from ich_seq.report.write_explanation import sheet_of
from ich_seq.slices.network import SliceNet, SliceOutput
from ich_seq.slices.window import Preprocess
from ich_seq.study.explain import Asked, Explanation, explain_study
from ich_seq.study.score import ScoredStudy, score_studies

HEAD_FIRST = {"HFS": (1, 1), "HFP": (-1, -1), "HFDL": (1, 1), "HFDR": (-1, 1)}
FEET_FIRST = {"FFS": (-1, 1), "FFP": (1, -1), "FFDL": (1, -1), "FFDR": (-1, -1)}
"""Patient positions with the signs along which rows and columns are stored: what a scanner writes, and flipped ones."""


class Bright(SliceNet):
    """A network that looks for what is bright: its feature map is the brain window in cells of 8 pixels, its logit their mean."""

    def __init__(self) -> None:
        nn.Module.__init__(self)  # it has no trunk by name
        choices = {"size": 64, "windows": [{"level": 55, "width": 20}], "mean": [0], "std": [1]}
        self.preprocess = Preprocess(PreprocessConfig.model_validate(choices))

    def features(self, tiles: Tensor) -> Tensor:
        return functional.avg_pool2d(tiles, 8)

    def from_features(self, feature_map: Tensor) -> SliceOutput:
        mean = feature_map.mean(dim=(2, 3))
        return SliceOutput(40 * mean.expand(-1, 6) - 1, mean.expand(-1, 2048))

    def forward(self, tiles: Tensor) -> SliceOutput:
        return self.from_features(self.features(tiles))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    write_tiny_model(folder, size=64)
    plain_scale(folder)
    return folder


def ichseq(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def bleeding_hu(index: int) -> np.ndarray:
    """A head of 20 HU with a bleed of 70 HU on the patient's left and in front, as seen in the radiological convention."""
    hu = ramp_hu(index, 80, 80)
    soft = (hu > -200) & (hu < 400)
    y, x = np.mgrid[:80, :80]
    hu[soft & (np.maximum(y, x) >= 32)] = 20
    hu[22:34, 52:64] = 70
    return hu


def write_stored(folder: Path, signs: tuple[int, int], transposed: bool, position: str) -> Path:
    """The same head on disk, with rows and columns that run the other way where a sign is -1, or stored as columns and rows."""
    columns, rows = signs

    def edit(dataset, index):
        hu, origin = bleeding_hu(index), np.array(dataset.ImagePositionPatient, float)
        if columns < 0:
            hu, origin = hu[:, ::-1], origin + np.array([79 * 0.5, 0, 0])
        if rows < 0:
            hu, origin = hu[::-1], origin + np.array([0, 79 * 0.5, 0])
        along = [[columns, 0, 0], [0, rows, 0]]
        if transposed:
            hu, along = hu.T, along[::-1]
        set_pixels(dataset, np.ascontiguousarray(hu))
        dataset.ImagePositionPatient = origin.tolist()
        dataset.ImageOrientationPatient = [float(part) for direction in along for part in direction]
        dataset.PatientPosition = position

    make_series(folder, slices=4, edit=edit)
    return folder


@pytest.fixture(scope="module")
def bright(model: Path) -> tuple[TorchModel, HeatScale]:
    """A tiny model whose classifier looks for what is bright, with a scale that the bleed exceeds and bone does not."""
    loaded = load_tiny_model(model)
    loaded.cnn = Bright()
    loaded.lstm.blend.zero_()  # stage two's gradient then comes through the probabilities alone, and its sign is known
    return loaded, plain_scale(model, constant=0.35)


def explained(folder: Path, bright: tuple[TorchModel, HeatScale], stage: Stage = "one") -> Explanation:
    """Slice 2 of a study by the network that looks for what is bright."""
    loaded, scale = bright
    (scored,) = score_studies([folder], loaded)
    assert isinstance(scored, ScoredStudy)
    return explain_study(scored, loaded, scale, Asked((2,), ("epidural",), stage))


@pytest.mark.parametrize("stage", ["one", "two"])
def test_a_bleed_on_the_left_is_drawn_on_the_right_of_the_picture(
    bright: tuple[TorchModel, HeatScale], tmp_path: Path, stage: Stage
) -> None:
    drawing = draw(explained(write_stored(tmp_path / "scan", (1, 1), False, "HFS"), bright, stage))
    hu, rgba = drawing.planes[2].hu, drawing.overlays[2, "epidural"].rgba
    assert (hu[24:32, 54:62] == 70).all()
    hottest = np.argwhere((rgba[..., :3] == colours(np.ones(1))).all(axis=2) & (rgba[..., 3] == 255))
    row, column = hottest.mean(axis=0)
    assert 24 <= row <= 32
    assert 54 <= column <= 62
    assert hottest[:, 1].min() > 40
    sheet = np.asarray(sheet_of(drawing, drawing.explanation.heats[2, "epidural"])).astype(int)[: 40 + 448]
    yellow = np.argwhere((sheet[..., :2] - sheet[..., 2:] > 60).all(axis=2))
    assert yellow[:, 1].min() > 0.75 * sheet.shape[1]  # the right half of the right panel


def test_left_stays_left_for_every_patient_position_and_flipped_orientation(
    bright: tuple[TorchModel, HeatScale], tmp_path: Path
) -> None:
    usual = draw(explained(write_stored(tmp_path / "usual", (1, 1), False, "HFS"), bright))
    expected = np.asarray(sheet_of(usual, usual.explanation.heats[2, "epidural"]))
    for position, signs in (HEAD_FIRST | FEET_FIRST).items():
        for transposed in (False, True):
            folder = write_stored(tmp_path / f"{position}{transposed}", signs, transposed, position)
            drawing = draw(explained(folder, bright))
            found = np.asarray(sheet_of(drawing, drawing.explanation.heats[2, "epidural"]))
            np.testing.assert_array_equal(found, expected, err_msg=f"{position} {signs} transposed {transposed}")


@pytest.fixture(scope="module")
def written(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All slices of a planted study explained, with secondary captures."""
    base = tmp_path_factory.mktemp("written")
    planted_names(make_series(base / "scan" / "zqfile folder", slices=5, edit=plant))
    words = (
        "--out",
        base / "out",
        "--slices",
        "all",
        "--label",
        "any",
        "--label",
        "subdural",
        "--dicom",
        "--jobs",
        "1",
    )
    done = ichseq("explain-study", base / "scan", "--model", model, *words)
    assert done.exit_code == 0, done.output
    assert found_in(done.output, names=False) == []
    return base / "out"


def test_every_slice_and_label_has_a_picture_a_capture_and_facts(written: Path) -> None:
    facts = json.loads((written / "explanation.json").read_text())
    assert [(heat["slice_index"], heat["label"]) for heat in facts["heats"][:5]] == [(k, "any") for k in range(5)]
    assert len(facts["heats"]) == 10
    assert facts["notice"] == RESEARCH_NOTICE
    for heat in facts["heats"]:
        assert heat["verdict"] == "drawn"
        assert len(heat["without"]) == 4
        with Image.open(written / heat["sheet"]) as picture:
            capture = pydicom.dcmread((written / heat["sheet"]).with_suffix(".dcm"))
            np.testing.assert_array_equal(capture.pixel_array, np.asarray(picture))
        assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == heat["sop_instance_uid"]
        assert capture.StudyInstanceUID == facts["study_instance_uid"]
        assert capture.SeriesInstanceUID != facts["series_instance_uid"]


def test_nothing_that_is_written_names_anybody(written: Path) -> None:
    for path in written.iterdir():
        content = path.read_bytes()
        assert found_in(content.decode("latin-1")) == [], path.name
    capture = pydicom.dcmread(written / "slice_001_any.dcm")
    assert not any(str(capture.get(name, "")) for name in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate"))


def test_secondary_captures_are_valid(written: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("Debian tool dciodvfy is missing")
    done = subprocess.run(["dciodvfy", written / "slice_003_any.dcm"], capture_output=True, text=True, check=False)
    assert "Error" not in done.stdout + done.stderr


def test_the_page_holds_all_that_it_needs_and_runs_nothing(written: Path) -> None:
    page = (written / "explanation.html").read_text(encoding="utf-8")
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'" in page
    )
    assert not re.search(r"<script|<iframe|<object|<link|\son[a-z]+=|\sstyle=|url\(|@import", page)
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert links
    assert all(link.startswith(("data:image/png;base64,", "#grey")) for link in links)
    for label in ("any", "subdural"):
        assert f"body:has(#label-{label}:checked) .of-{label} {{ display: block; }}" in style[1]
        assert page.count(f'<image class="heat of-{label}"') == 5
    assert page.count('name="opacity"') == 11
    assert RESEARCH_NOTICE in page


def test_a_second_explanation_leaves_no_picture_of_the_first(model: Path, tmp_path: Path) -> None:
    make_series(tmp_path / "scan", slices=5)
    words = ("explain-study", tmp_path / "scan", "--model", model, "--out", tmp_path / "out", "--quiet", "--jobs", "1")
    assert ichseq(*words, "--slices", "all", "--label", "any", "--stage", "one").exit_code == 0
    (tmp_path / "out" / "slice_of_my_own.png").write_text("mine")
    assert ichseq(*words, "--slices", "all", "--label", "epidural", "--stage", "one").exit_code == 0
    sheets = {path.name for path in (tmp_path / "out").glob("slice_*")}
    assert sheets == {f"slice_{k:03d}_epidural.png" for k in range(1, 6)} | {"slice_of_my_own.png"}


def test_below_the_threshold_nothing_is_drawn_and_the_caption_says_so(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model", size=64)
    plain_scale(tmp_path / "model", threshold=1.0)
    make_series(tmp_path / "scan", slices=5)
    words = ("--model", tmp_path / "model", "--out", tmp_path / "out", "--jobs", "1", "--slices", "all")
    done = ichseq("explain-study", tmp_path / "scan", *words)
    assert done.exit_code == 0, done.output
    assert "no score at its threshold, so no heat is drawn" in done.output
    page = (tmp_path / "out" / "explanation.html").read_text(encoding="utf-8")
    assert '<image class="heat' not in page
    assert page.count("Nothing is drawn: the score is below the label") == 30
    sheets = sorted(path.name for path in (tmp_path / "out").glob("slice_*.png"))
    assert len(sheets) == 6  # of each label the highest score
    for name in sheets:
        with Image.open(tmp_path / "out" / name) as picture:
            height = picture.height // 2
            pixels = np.asarray(picture.convert("RGB")).astype(int)[30:height]
        assert (pixels.max(axis=2) - pixels.min(axis=2)).max() <= 8  # grey, but for the ink's tinge


def test_a_model_without_a_scale_is_said_before_anything_is_read(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model")
    done = ichseq("explain-study", tmp_path / "absent", "--model", tmp_path / "model", "--out", tmp_path / "out")
    assert done.exit_code == 6
    assert "ichseq explain-scale --model" in done.output


def test_a_model_without_a_feature_map_is_told_so_and_not_to_make_a_scale(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model", backbone="vit_b_16")
    done = ichseq("explain-study", tmp_path / "absent", "--model", tmp_path / "model", "--out", tmp_path / "out")
    assert done.exit_code == 6
    assert "vit_b_16 has no spatial feature map before its pooled vector" in done.output
    assert "explain-scale" not in done.output
    assert not (tmp_path / "out").exists()


def test_a_series_that_cannot_be_scored_is_refused_as_scoring_does(model: Path, tmp_path: Path) -> None:
    def gap(dataset, index):
        dataset.ImagePositionPatient[2] += 40 * (index > 8)

    make_series(tmp_path / "scan", slices=20, edit=gap)
    done = ichseq("explain-study", tmp_path / "scan", "--model", model, "--out", tmp_path / "out", "--jobs", "1")
    assert done.exit_code == 3
    assert "may be missing" in done.output
    assert not (tmp_path / "out").exists()


def test_one_cell_is_no_map(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model", size=32)
    plain_scale(tmp_path / "model")
    make_series(tmp_path / "scan", slices=4)
    words = ("--model", tmp_path / "model", "--out", tmp_path / "out", "--jobs", "1")
    done = ichseq("explain-study", tmp_path / "scan", *words)
    assert done.exit_code == 6
    assert "1 x 1 places" in done.output


def test_nifti_is_explained_but_has_no_study_to_file_captures_in(model: Path, tmp_path: Path) -> None:
    make_series(tmp_path / "scan", slices=5)
    nifti_of(tmp_path / "scan", tmp_path / "scan.nii.gz")
    words = ("explain-study", tmp_path / "scan.nii.gz", "--model", model, "--out", tmp_path / "out", "--label", "any")
    assert ichseq(*words, "--stage", "one", "--jobs", "1").exit_code == 0
    done = ichseq(*words, "--dicom")
    assert done.exit_code == 3
    assert "no valid UIDs" in done.output


@torch.no_grad()
def test_a_neighbours_part_is_the_score_less_the_score_without_it(model: Path, tmp_path: Path) -> None:
    """As the JSON says it: the scan without the file of that slice is scored anew by `score-study`'s own call."""
    paths = make_series(tmp_path / "scan", slices=6, edit=None)
    loaded = load_tiny_model(model)
    (scored,) = score_studies(paths, loaded)
    assert isinstance(scored, ScoredStudy)
    with torch.enable_grad():
        heat = explain_study(scored, loaded, plain_scale(model), Asked((2,), ("any",))).heats[2, "any"]
    without = {each.index: each.score_without for each in heat.neighbours}
    (shorter,) = score_studies(paths[:5], loaded)  # without the last slice, index 5
    assert isinstance(shorter, ScoredStudy)
    assert without[5] == pytest.approx(shorter.result.slices[2].stage_two.any, abs=1e-6)
    assert heat.score == pytest.approx(scored.result.slices[2].stage_two.any)
