from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from ich_seq.cli.phantom import phantom
from ich_seq.errors import UsageError
from ich_seq.phantom import sheet
from ich_seq.phantom.cohort import CohortSpec, read_truth


def test_the_command_writes_a_cohort_and_sums_it_up(tmp_path: Path):
    out = tmp_path / "cohort"
    flags = ["--studies", "2", "--seed", "3", "--jobs", "1", "--matrix", "64", "--slices", "20", "--min-area-mm2", "25"]
    shares = [f"--prevalence={name}=1" for name in ("subdural", "intraventricular")]
    done = CliRunner().invoke(phantom, ["--out", str(out), *flags, *shares, "--no-mimics"], catch_exceptions=False)
    assert done.exit_code == 0
    truth = read_truth(out)
    assert truth["spec"]["min_area_mm2"] == 25
    assert truth["spec"]["mimics"] is False
    assert [study["labels"]["subdural"] for study in truth["studies"]] == [1, 1]
    assert f"40 slices, in {out}" in done.output
    assert f"ichseq index phantom --root {out} --out " in done.output


def test_quiet_says_nothing(tmp_path: Path):
    flags = ["--studies", "1", "--jobs", "1", "--matrix", "64", "--slices", "20", "--quiet"]
    done = CliRunner().invoke(phantom, ["--out", str(tmp_path / "out"), *flags], catch_exceptions=False)
    assert done.output == ""


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--prevalence", "subdural=2"], "between 0 and 1"),
        (["--prevalence", "subgaleal=0.1"], "unknown subtype subgaleal"),
        (["--matrix", "255"], "even numbers"),
    ],
)
def test_an_impossible_cohort_is_a_usage_error_and_writes_nothing(tmp_path: Path, flags: list[str], reason: str):
    with pytest.raises(UsageError, match=reason):
        CliRunner().invoke(phantom, ["--out", str(tmp_path / "out"), *flags], catch_exceptions=False)
    assert not (tmp_path / "out").exists()


def test_flags_without_a_target_or_a_number_are_refused():
    assert "--out" in CliRunner().invoke(phantom, []).output
    done = CliRunner().invoke(phantom, ["--out", "x", "--prevalence", "subdural"])
    assert done.exit_code == 2
    assert "subdural=0.2" in done.output


def test_the_contact_sheet_is_one_picture_under_a_megabyte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def small(seed: int, **values) -> CohortSpec:
        return CohortSpec(studies=9, seed=seed, **{**values, "matrices": (64,), "slices": (20, 20)})

    monkeypatch.setattr(sheet, "_spec", small)
    path = sheet.draw_contact_sheet(tmp_path / "sheet.png", 4)
    assert path.stat().st_size < 1_000_000
    with Image.open(path) as picture:
        assert (picture.format, picture.mode, picture.width) == ("PNG", "L", sheet.COLUMNS * sheet.PANEL_PX)
