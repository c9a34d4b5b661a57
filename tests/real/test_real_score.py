"""Scoring real files: the same numbers however they come, and the full-size network against plain torchvision."""

import random
import shutil
import zipfile

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny_model import load_tiny_model, write_tiny_model
from torchvision.models import resnext101_32x8d

import ich_seq
from ich_seq.cli import main
from ich_seq.config import PreprocessConfig
from ich_seq.dicom import read_study_files
from ich_seq.errors import IncompleteSeriesError
from ich_seq.slices.network import SliceNet
from ich_seq.slices.read import read_slices
from ich_seq.study.result import Status, StudyResult
from ich_seq.volume import Volume

RSNA = "rsna_series_ID_52c1ab5a"
LABELLED = (
    "negative__CQ500_CT_47",
    "negative__ID_515961ad20",
    "intraventricular__ID_64ef94ad14",
    "subdural__CQ500_CT_412",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "model"
    write_tiny_model(folder)
    return folder


@pytest.fixture(scope="module")
def network(model):
    torch.set_num_threads(1)
    return load_tiny_model(model)


def numbers(result):
    """A result without what differs from run to run, and without the count of files that are no DICOM."""
    return result.model_copy(update={"timings_s": {}, "dropped": ()})


def test_rsna_series_runs_from_feet_to_head_with_its_tilt(network, real_data):
    result = ich_seq.score_study(real_data / RSNA, network)
    first, last = result.slices[0], result.slices[-1]
    assert len(result.slices) == 32
    assert (first.sop_instance_uid, last.sop_instance_uid) == ("ID_38ed6bf3c", "ID_b9070ba98")
    assert first.image_position_patient[2] == pytest.approx(155.0, abs=0.05)  # stated to one decimal
    assert last.image_position_patient[2] == pytest.approx(313.1, abs=0.05)
    assert result.series.tilt_deg == pytest.approx(11.0, abs=0.05)
    assert "N-GANTRY-TILT" in {found.code for found in result.findings}
    assert result.status is Status.COMPLETE


def test_folder_zip_and_shuffled_renamed_files_score_alike(network, real_data, tmp_path):
    paths = sorted((real_data / RSNA).rglob("*.dcm"))
    assert len(paths) == 32
    with zipfile.ZipFile(tmp_path / "series.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)
    (tmp_path / "shuffled").mkdir()
    for number, path in enumerate(random.Random(3).sample(paths, len(paths))):
        shutil.copy(path, tmp_path / "shuffled" / f"IMG{number:05d}")
    wanted = numbers(ich_seq.score_study(real_data / RSNA, network))
    assert numbers(ich_seq.score_study(tmp_path / "series.zip", network)) == wanted
    assert numbers(ich_seq.score_study(tmp_path / "shuffled", network)) == wanted


def test_uneven_spacing_and_a_plastic_head_are_scored(network, real_data):
    tilted = ich_seq.score_study(real_data / "ge_tilt_variable_spacing", network)
    assert tilted.status is Status.COMPLETE
    assert tilted.series.tilt_deg == pytest.approx(18.5, abs=0.1)
    assert {"N-GANTRY-TILT", "N-VARIABLE-SPACING"} <= {found.code for found in tilted.findings}
    plastic = ich_seq.score_study(real_data / "philips_phantom_5mm", network)
    assert (len(plastic.slices), plastic.series.spacing_mm) == (28, pytest.approx(5.0, abs=0.01))


@pytest.mark.parametrize("name", LABELLED)
def test_studies_with_slices_left_out_are_scored_when_asked_and_read_indeterminate(
    model, network, real_data, tmp_path, name
):
    study = real_data / "labelled_studies" / name
    with pytest.raises(IncompleteSeriesError):
        ich_seq.score_study(study, network)
    arguments = ["score-study", study, "--model", model, "--out", tmp_path / "out", "--allow-incomplete", "--jobs", "1"]
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    assert "INCOMPLETE" in done.stdout
    result = StudyResult.model_validate_json((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert result.status is Status.INCOMPLETE
    assert {score.reading for score in result.scan} == {"indeterminate"}
    assert result.series.gaps


def test_full_size_embeddings_equal_plain_torchvision_with_a_hook(real_data):
    """ResNeXt-101 32x8d, seeded weights, every fourth real slice in fp32; the reference windows and shrinks by numpy."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    ours = SliceNet("resnext101_32x8d", PreprocessConfig.model_validate({})).eval()
    assert sum(parameter.numel() for parameter in ours.parameters()) == 86_754_630
    chosen = read_study_files([real_data / RSNA]).studies[0].chosen
    assert chosen is not None
    volume = Volume(chosen)
    slices = [volume[place] for place in range(0, 32, 4)]
    _, embedding = read_slices(ours, slices, batch_size=8)
    plain = resnext101_32x8d(weights=None).eval()
    plain.load_state_dict(ours.backbone.state_dict(), strict=False)
    pooled = []
    plain.avgpool.register_forward_hook(lambda module, inputs, output: pooled.append(output.flatten(1).numpy()))
    with torch.inference_mode():
        plain(torch.from_numpy(np.stack([reference_input(hu) for hu in slices])))
    reference = np.concatenate(pooled)
    assert embedding.shape == reference.shape == (8, 2048)
    # fp32 sums in another order (channels last against planar) over 101 layers.
    assert np.abs(embedding - reference).max() <= 1e-4 * np.abs(reference).max()


def reference_input(hu):
    """Burduja's windows, 2 x 2 means (bilinear halving with half-pixel centres) and normalisation, by hand."""
    channels = []
    windows = ((40, 80, 0.1738, 0.3161), (80, 200, 0.1433, 0.2850), (40, 380, 0.1970, 0.3111))
    for level, width, mean, std in windows:
        windowed = np.clip((hu.astype(np.float64) - (level - width / 2)) / width, 0, 1)
        channels.append((windowed.reshape(256, 2, 256, 2).mean(axis=(1, 3)) - mean) / std)
    return np.stack(channels).astype(np.float32)
