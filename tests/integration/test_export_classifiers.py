"""Every classifier that can be trained here is exported: its graphs give what torch gives, neighbouring slices included."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dicom_factory import make_series, set_pixels
from spread_model import write_spread_model

from ich_seq.config import CnnConfig, PreprocessConfig
from ich_seq.dicom import read_slice_hu
from ich_seq.errors import DatasetError, InputRefusedError, UsageError
from ich_seq.evaluation.calibration_tiles import calibration_tiles, without_lone_slices
from ich_seq.evaluation.precision import Gate, MeasuredOn, measure_precisions
from ich_seq.labels import LABEL_NAMES
from ich_seq.model.bundle import read_bundle, read_info
from ich_seq.model.export import LARGEST_DIFFERENCE, export, synthetic_slices
from ich_seq.model.openvino_backend import OpenVinoModel
from ich_seq.model.runtime import Compute
from ich_seq.model.telemetry import no_telemetry
from ich_seq.model.torch_backend import TorchModel
from ich_seq.slices.backbones import backbones
from ich_seq.slices.read import network_tiles
from ich_seq.study.chunks import in_chunks
from ich_seq.study.model import load_model, read_chunk
from ich_seq.study.score import score_study
from ich_seq.volume import WHOLE_FILE

CUT = PreprocessConfig.model_validate({"size": 32, "resize": "pad_or_crop", "max_pool": 2, "adjacent_slices": 1})
"""Three windows of three slices, by the rules that no antialiasing disturbs: OpenVINO, which reads the ONNX file here, has none."""
SCAN = ((512, 512), (64, 64), (67, 67), (65, 63), (33, 47), (200, 131), (131, 200))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("neighbours") / "model"
    write_spread_model(folder, CnnConfig(backbone="kumar2021_cnn", weights="none", output="two_step"), CUT)
    export(folder)
    return folder


@pytest.fixture(scope="module")
def ours(exported: Path) -> TorchModel:
    return TorchModel(read_bundle(exported))


@pytest.fixture(scope="module")
def theirs(exported: Path) -> OpenVinoModel:
    return OpenVinoModel(exported, read_info(exported), "fp32", jobs=1)


@pytest.mark.parametrize("size", [1, 2, 3, len(SCAN)])
def test_a_scan_in_chunks_is_to_openvino_what_the_whole_is_to_torch(
    ours: TorchModel, theirs: OpenVinoModel, size: int
) -> None:
    slices = synthetic_slices(SCAN)
    whole = ours.read_slices(slices)
    found = [read_chunk(theirs, chunk) for chunk in in_chunks(enumerate(slices), size, 1)]
    assert np.ptp(whole.prob, axis=0).min() > 0.1
    # Both sum in float32, in another order.
    np.testing.assert_allclose(np.concatenate([prob for prob, _ in found]), whole.prob, atol=1e-4)
    np.testing.assert_allclose(np.concatenate([reduced for _, reduced in found]), whole.reduced, atol=1e-4)


def test_no_slice_is_windowed_twice_and_none_that_no_asked_slice_reads(theirs: OpenVinoModel, monkeypatch) -> None:
    windowed, tiles = [], theirs.tiles
    monkeypatch.setattr(theirs, "tiles", lambda hu: windowed.append(hu.shape) or tiles(hu))
    slices = synthetic_slices(SCAN)
    theirs.read_slices(slices)
    assert windowed == list(SCAN)
    windowed.clear()
    theirs.read_slices(slices, range(3, 5))
    assert windowed == list(SCAN[2:6])


def test_the_onnx_file_sets_the_neighbours_and_refuses_a_slice_alone(exported: Path, ours: TorchModel) -> None:
    with no_telemetry():
        from openvino import Core

    path = exported / "openvino" / "pipeline.onnx"
    compiled = Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for slices in (synthetic_slices([(70, 61)] * 5), synthetic_slices([(50, 50)] * 2)):
        found, wanted = compiled(np.stack(slices)), ours.read_slices(slices)
        np.testing.assert_allclose(found["prob"], wanted.prob, atol=1e-4)
        np.testing.assert_allclose(found["refined_prob"], ours.refine(wanted.reduced, wanted.prob), atol=1e-4)
    with pytest.raises(RuntimeError, match="two_slices_or_more"):
        compiled(np.stack(slices[:1]))


def series_of(folder: Path, slices: int, name: str = "a") -> list[Path]:
    """A series each slice of which has its own HU."""
    values = synthetic_slices([(64, 80)] * slices)
    return make_series(folder, slices, lambda dataset, index: set_pixels(dataset, values[index]), uid_seed=name)


def test_both_runtimes_score_a_scan_alike_and_refuse_a_slice_alone(exported: Path, tmp_path: Path) -> None:
    paths = make_series(tmp_path, slices=10)
    models = [load_model(exported, Compute("cpu", 1, runtime, "fp32")) for runtime in ("openvino", "torch")]
    graphs, torchs = (score_study(paths, model) for model in models)
    for stage in ("stage_one", "stage_two"):
        found, wanted = (
            [[getattr(each, stage).of(name) for name in LABEL_NAMES] for each in result.slices]
            for result in (graphs, torchs)
        )
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    for model in models:
        with pytest.raises(InputRefusedError, match="one slice can be read, and this model reads each slice with 1"):
            score_study(paths[:1], model)


def table_of(root: Path, lengths: dict[str, int]) -> tuple[pd.DataFrame, dict[str, list[Path]]]:
    """Series in one table, whose rows stand in no order under an index of their own."""
    parts, paths = [], {}
    for number, (name, slices) in enumerate(lengths.items()):
        paths[name] = series_of(root / name, slices, name)
        labels = pd.DataFrame({label: np.arange(slices) % 2 for label in LABEL_NAMES}, dtype=np.uint8)
        parts.append(
            labels.assign(
                path=[path.relative_to(root).as_posix() for path in paths[name]],
                slice_index=np.int32(WHOLE_FILE),
                dataset="made",
                patient_id=f"P{number}",
                series_instance_uid=name,
                sop_instance_uid=[f"{name}.{place}" for place in range(slices)],
                position_mm=[5.0 * place for place in range(slices)],
            )
        )
    whole = pd.concat(parts, ignore_index=True)
    return whole.iloc[np.random.default_rng(0).permutation(len(whole))], paths


def test_calibration_reads_of_single_slices_what_torch_reads_of_their_scans(
    ours: TorchModel, theirs: OpenVinoModel, tmp_path: Path
) -> None:
    table, paths = table_of(tmp_path, {"1.2": 5, "1.3": 3})
    torn = paths["1.2"].pop(1)  # the slice above it has for a neighbour the one below it
    torn.write_bytes(torn.read_bytes()[:-100])
    preprocess, wanted = ours.cnn.preprocess, {}
    for files in paths.values():
        tiles = preprocess(
            network_tiles(preprocess, [read_slice_hu(path) for path in files], range(len(files)))
        ).numpy()
        wanted |= {path.relative_to(tmp_path).as_posix(): tile for path, tile in zip(files, tiles, strict=True)}
    chosen = table[table["path"].isin(wanted)].iloc[::2]
    found = list(calibration_tiles(theirs, chosen, table, tmp_path))
    assert len(found) == 4
    for tile, path in zip(found, chosen["path"], strict=True):
        np.testing.assert_allclose(tile[0], wanted[path], atol=1e-5)  # one rounding of up to 4 in float32
    with pytest.raises(DatasetError, match="a slice for calibration cannot be read"):
        list(calibration_tiles(theirs, table[~table["path"].isin(wanted)], table, tmp_path))


def test_slices_alone_calibrate_and_measure_nothing(tmp_path: Path) -> None:
    table, _ = table_of(tmp_path, {"1.2": 2, "1.3": 1})
    assert set(without_lone_slices(table)["series_instance_uid"]) == {"1.2"}
    with pytest.raises(DatasetError, match="no scan of the table has two slices"):
        without_lone_slices(table[table["series_instance_uid"] == "1.3"])


@pytest.mark.campaign
def test_int8_of_a_network_that_reads_neighbours_is_calibrated_and_measured(exported: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    table, _ = table_of(tmp_path / "images", {"1.2": 10, "1.3": 10, "1.4": 1})
    validation = table[table["series_instance_uid"] != "1.2"]
    on = MeasuredOn(table.iloc[::2], table, validation, tmp_path / "images", "0" * 64)
    measured = measure_precisions(folder, on, 1, Gate(1.0, 1.0))
    assert measured.int8 is not None
    assert measured.losses["int8"].slices == 10
    assert 0 < measured.losses["int8"].largest_prob_change < 0.5
    slices = synthetic_slices(SCAN)
    int8, fp32 = (OpenVinoModel(folder, read_info(folder), name, 1).read_slices(slices) for name in ("int8", "fp32"))
    assert 0 < np.abs(int8.prob - fp32.prob).max() < 0.5


OUTPUTS = ("sigmoid", "softmax", "classes", "classes_none", "two_step")
DIVIDED = {"windows": (), "windowing": "largest_absolute", "mean": (0.5,), "std": (0.5,)}
GREY = {"grey_mean": True, "resize": "every_nth", "mean": (0.0,), "std": (1.0,)}
ASIP = {"windows": [{"level": 60, "width": 40}], "mean": (0.0,), "std": (1.0,), "adjacent_slices": 1}
SIGMOID = {"windowing": "sigmoid", "resize": "pad_or_crop", "max_pool": 2}
INPUTS = ({}, ASIP, GREY, DIVIDED, SIGMOID, {"adjacent_slices": 2}, {"antialias": True, "max_pool": 2})


def test_every_nth_pixel_at_a_size_that_openvino_would_take_otherwise_is_refused(tmp_path: Path) -> None:
    write_spread_model(
        tmp_path,
        CnnConfig(backbone="lussier_cnn", weights="none"),
        PreprocessConfig.model_validate({"size": 48, **GREY}),
    )
    with pytest.raises(UsageError, match="no power of two.*--runtime torch"):
        export(tmp_path, onnx=False)


@pytest.mark.campaign
@pytest.mark.parametrize("place", range(len(backbones())), ids=backbones())
def test_each_trunk_gives_from_its_graphs_what_torch_gives(tmp_path: Path, place: int, record_property) -> None:
    """Each with outputs, a dense layer or none, and inputs of its own."""
    preprocess = PreprocessConfig.model_validate({"size": 64, **INPUTS[place % len(INPUTS)]})
    output = OUTPUTS[place % len(OUTPUTS)]
    cnn = CnnConfig(
        backbone=backbones()[place],
        weights="none",
        output="softmax"
        if output == "classes" and preprocess.adjacent_slices
        else output,  # the two do not go together
        dense=24 * (place % 2),
        head_dropout=0.125 * (place % 2),
    )
    write_spread_model(tmp_path, cnn, preprocess)
    export(tmp_path, onnx=False)
    torchs, graphs = TorchModel(read_bundle(tmp_path)), OpenVinoModel(tmp_path, read_info(tmp_path), "fp32", jobs=1)
    slices = synthetic_slices(SCAN)
    wanted, found = torchs.read_slices(slices), graphs.read_slices(slices)
    assert np.ptp(wanted.prob, axis=0).max() > 0.1
    refined = torchs.refine(wanted.reduced, wanted.prob) - graphs.refine(found.reduced, found.prob)
    difference = max(np.abs(wanted.prob - found.prob).max(), np.abs(refined).max())
    record_property("largest difference of a probability", f"{difference:.2g}")
    assert difference <= LARGEST_DIFFERENCE
