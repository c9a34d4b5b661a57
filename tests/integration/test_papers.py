"""`ichseq papers`: `--quick` killed at work and run again; on the small cohort a row that fails and one that cannot learn."""

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from kills import digests, run, run_here, strike

from ich_seq.cli import paper_rows
from ich_seq.errors import UsageError
from ich_seq.files import held
from ich_seq.training.run import open_run

TABLE = """
name = "tiny_table"
about = "Two small networks at 32 pixels, for tests."
[split]
stage_one = 0.4
stage_two = 0.2
validation = 0.2
test = 0.2
[preprocess]
size = 32
[cnn]
weights = "none"
[train_cnn]
epochs = 2
steps_per_epoch = 2
batch_size = 16
learning_rate = 5e-4
keep_tiles_in_memory = true
workers = 0
[features]
pca_components = 8
[lstm]
hidden = 8
layers = 1
[train_lstm]
epochs = 1
learning_rate = 1e-3
"""
ROWS = ("kumar2021_positives", "lussier")
"""The first one's nine slices with blood make no batch."""


@pytest.fixture(scope="module")
def words(small_run, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command but for its rows; OUT is the last word."""
    base = tmp_path_factory.mktemp("papers")
    (base / "table.toml").write_text(TABLE)
    shared = ["papers", "--table", str(small_run.table), "--config", str(base / "table.toml"), "--jobs", "1"]
    return [*shared, "--quiet", "--out", str(base / "out")]


@pytest.fixture(scope="module")
def out(words: list[str]) -> Path:
    """Interrupted before a row's stage two, then run to its end; what was done before is not done again."""
    out, row = Path(words[-1]), [word for name in ROWS for word in ("--rows", name)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper_rows, "run_train_lstm", _interrupt)
        code, said = run_here(*words, *row)
    assert (code, said.strip().split("\n")[-1]) == (130, "interrupted; run the same command again to continue")
    before = digests(out / "rows" / "lussier", "stage_one/*.safetensors")
    code, said = run_here(*words, *row)
    assert code == 4, said
    assert "1 of 2 rows failed: kumar2021_positives; the same command tries them again" in said
    assert digests(out / "rows" / "lussier", "stage_one/*.safetensors") == before
    return out


def _interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_the_row_that_cannot_learn_and_the_one_that_failed_are_named(out: Path) -> None:
    table = json.loads((out / "papers.json").read_text())
    assert table["failed"] == {
        "kumar2021_positives": f"kumar2021_positives: {_positives(out)} training slices make no batch of 16; use a larger table"
    }
    lussier = next(each for each in table["systems"] if each["row"] == "lussier" and each["own"])
    assert not lussier["learnt"]
    page = (out / "papers.md").read_text()
    assert "| lussier | 003, Lussier | stage one | did not learn |" in page
    assert (out / "papers.html").stat().st_size > 10_000


def _positives(out: Path) -> int:
    import pandas as pd

    table = pd.read_parquet(out / "rows" / "lussier" / "table.parquet")
    return int((table["split"].eq("stage_one") & table["any"].eq(1)).sum())


def test_each_row_is_a_run_that_keeps_its_own_config_at_the_tables_size(out: Path) -> None:
    config = open_run(out / "rows" / "lussier").config
    assert (config.name, config.preprocess.size, config.preprocess.windowing) == ("lussier", 32, "largest_absolute")
    assert (config.train_cnn.optimizer, config.train_cnn.batch_size) == ("adadelta", 16)
    assert config.train_cnn.epochs * config.train_cnn.steps_per_epoch == 4
    assert not list(out.glob("rows/*/stage_*/*.pt")), "finished rows keep no checkpoints"


def test_finished_rows_are_kept_and_the_page_is_made_again(out: Path, words: list[str]) -> None:
    before = digests(out, "rows/*/*.json") | digests(out, "papers.*")
    (out / "papers.md").unlink()
    code, said = run_here(*words, "--rows", "lussier")
    assert code == 0, said
    kept = {name: digest for name, digest in before.items() if name.startswith("rows")}
    assert digests(out, "rows/*/*.json") == kept
    assert (out / "papers.md").exists()


def test_the_page_has_every_finished_row_whatever_was_asked_for(out: Path, words: list[str]) -> None:
    code, _ = run_here(*words, "--rows", "kumar2021_positives")
    assert code == 4
    table = json.loads((out / "papers.json").read_text())
    assert (list(table["facts"]), list(table["failed"])) == (["lussier"], ["kumar2021_positives"])


def test_rows_of_another_config_or_damaged_are_named_and_the_others_shown(
    out: Path, words: list[str], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(out, tmp_path / "out"))
    shutil.copytree(copy / "rows" / "lussier", copy / "rows" / "kumar2021")
    shutil.copytree(copy / "rows" / "lussier", copy / "rows" / "fahim2021")
    (copy / "rows" / "fahim2021" / "row.json").write_text("{}")
    code, told = run_here(*words[:-1], str(copy), "--rows", "lussier")
    assert code == 4
    assert re.search(r"rows/kumar2021: made with another name; remove it, and the same command makes it anew", told), (
        told
    )
    table = json.loads((copy / "papers.json").read_text())
    assert (list(table["facts"]), sorted(table["failed"])) == (["lussier"], ["fahim2021", "kumar2021"])


def test_a_finished_row_is_not_kept_where_its_config_has_changed(
    out: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = paper_rows.row_config

    def faster(*given: Any) -> Any:
        config = plain(*given)
        return config.model_copy(update={"train_cnn": config.train_cnn.model_copy(update={"any_weight": 3.0})})

    monkeypatch.setattr(paper_rows, "row_config", faster)
    code, told = run_here(*words, "--rows", "lussier")
    assert code == 4
    assert "rows/lussier: made with train_cnn.any_weight = None, not 3.0; remove it" in told


def test_what_a_library_raises_fails_one_row_and_is_kept_in_its_folder(
    out: Path, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("memory is full\nand more")

    monkeypatch.setattr(paper_rows, "run_train_cnn", full)
    copy = Path(shutil.copytree(out, tmp_path / "out"))
    code, told = run_here(*words[:-1], str(copy), "--rows", "lussier", "--rows", "kumar2021")
    assert code == 4
    assert "kumar2021 failed: RuntimeError: memory is full; all of it is in " in told
    assert "in full" in (copy / "rows" / "kumar2021" / "error.txt").read_text()
    assert list(json.loads((copy / "papers.json").read_text())["facts"]) == ["lussier"]


def test_two_at_once_in_one_folder_are_refused(out: Path, words: list[str]) -> None:
    with held(out):
        code, told = run_here(*words)
    assert code == 2
    assert "another process is at work there; wait for its end, or choose another --out" in told


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--size", "16"], r"16 is not in the range 32<=x<=2048"),
        (["--size", "48"], r"holds rows made with preprocess\.size = 32, not 48; choose another --out"),
        (["--visits", "128"], r"holds rows made with train_cnn\.steps_per_epoch = 2, not 4; choose another --out"),
        (["--visits", "100"], r"--visits 100: give a multiple of 32, such as 96"),
        (["--pretrained"], r"holds rows made with cnn\.weights = none, not imagenet; choose another --out"),
        (["--rows", "resnet"], r"--rows resnet: no such row; choose among lee2019_linear_brain, "),
        (["--quick"], r"give --quick or --config, not both"),
    ],
)
def test_other_settings_are_not_mixed_in(out: Path, words: list[str], more: list[str], said: str) -> None:
    code, told = run_here(*words, *more)
    assert code == 2
    assert re.search(said, told), told


def test_settings_of_a_command_that_made_nothing_give_way(words: list[str], tmp_path: Path) -> None:
    config = paper_rows.table_config("papers_quick", None, None, pretrained=False)
    for table in (None, Path(words[2])):
        paper_rows.claim(tmp_path, config, table)
    (tmp_path / "rows").mkdir()
    with pytest.raises(UsageError, match="another table of slices"):
        paper_rows.claim(tmp_path, config, None)


def test_another_table_of_slices_is_not_mixed_in(out: Path, words: list[str], tmp_path: Path) -> None:
    other = Path(words[2]).read_bytes()
    changed = [*words]
    changed[2] = str(tmp_path / "other.parquet")
    Path(changed[2]).write_bytes(other + b"\0")
    code, told = run_here(*changed)
    assert code == 2
    assert "holds rows made with another table of slices" in told


def test_quick_killed_at_work_keeps_its_finished_row_and_goes_on(tmp_path: Path) -> None:
    """Three rows of two trunks at 64 pixels, two at once, from making the scans to the page."""
    out = tmp_path / "out"
    words, first = ["papers", "--quick", "--out", str(out), "--jobs", "2", "--quiet"], out / "rows" / "kumar2021"
    ended = strike(signal.SIGKILL, (first / "row.json").exists, *words)
    assert ended.met, ended.said
    assert ended.left == []
    before = digests(first, "*.json") | digests(first, "stage_*/*.safetensors")
    run(*words)
    assert digests(first, "*.json") | digests(first, "stage_*/*.safetensors") == before
    table = json.loads((out / "papers.json").read_text())
    assert list(table["facts"]) == [
        "kumar2021",
        "asip2022_densenet_windowed_baseline",
        "asip2022_densenet_asip_baseline",
    ]
    assert len({facts["method"].partition(",")[0] for facts in table["facts"].values()}) == 2
    assert all(facts["visits"] == 256 for facts in table["facts"].values())
    assert {run_of(out, name)["steps"]["train-cnn"]["threads"] for name in table["facts"]} == {1}
    assert "64 x 64 pixels" in (out / "papers.html").read_text()


def run_of(out: Path, row: str) -> dict[str, Any]:
    return json.loads((out / "rows" / row / "run.json").read_text())
