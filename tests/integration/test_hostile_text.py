"""Text from headers does nothing: in a page it is text, in a sheet no formula, on the terminal no command, and never a path."""

import csv
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from dicom_factory import make_series
from tiny_model import write_tiny_model

from ich_seq.cli import main

SCRIPT = "<script>alert(1)</script>"
HOSTILE = [  # of study, series and slices
    ("../../up", SCRIPT, "=1+1"),
    ("a\u202eb\u2066c", "\x9b31mred", "-2+3\x1b[2J"),
    ("=1+1\x1b[2J", "../../up", SCRIPT),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    write_tiny_model(folder)
    return folder


def write_hostile(folder: Path, uids: tuple[str, str, str]) -> None:
    """20 slices with such identifiers, and the study's as every description."""
    study, series, sop = (uid.encode().decode("latin-1") for uid in uids)  # so that the file holds them in UTF-8

    def edit(dataset, index):
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = study, series, f"{sop}.{index}"
        dataset.SeriesDescription = dataset.StudyDescription = dataset.ManufacturerModelName = uids[0]

    make_series(folder, slices=20, edit=edit)


def ichseq(*words: object) -> tuple[int, str]:
    """Exit code and all that was printed, which holds no control and no bidirectional character."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert all(line.isprintable() for line in done.output.split("\n")), done.output
    return done.exit_code, done.output


class _Tags(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)


@pytest.mark.parametrize("uids", HOSTILE)
def test_identifiers_that_are_none_are_inert_everywhere(model: Path, tmp_path: Path, uids, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_hostile(tmp_path / "scan", uids)
    code, text = ichseq("score-study", "scan", "--model", model, "--jobs", 1)
    assert code == 0, text
    (folder,) = (tmp_path / "scores").iterdir()
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert folder.name == hashlib.sha256(result["study_instance_uid"].encode()).hexdigest()[:12]
    assert {path.name for path in tmp_path.iterdir()} == {"scan", "scores"}
    with (folder / "slices.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.lstrip()[:1] in ("=", "+", "-", "@", "\t", "\r")]
    assert all(cell.isprintable() for cell in cells)
    assert "script" not in _Tags((folder / "report.html").read_text(encoding="utf-8")).tags
    for words in (("check", "scan"), ("check", "scan", "--json"), ("inspect", "scan"), ("inspect", folder)):
        code, text = ichseq(*words)
        assert code == 0, text
    assert ichseq("check", "scan", "--series", "1.2.3")[0] == 3
    assert ichseq("score-study", "scan", "--model", model, "--series", "../..", "--out", "x", "--json")[0] == 3


def test_names_of_files_cannot_steer_the_terminal(model: Path, tmp_path: Path) -> None:
    paths = make_series(tmp_path / "scan", slices=30)
    for number, name in enumerate(("\x1b[2Jcut.dcm", "a\u202ebcut.dcm", "line\nbreak.dcm")):
        paths[number].write_bytes(paths[number].read_bytes()[:-200])
        paths[number].rename(tmp_path / "scan" / name)
    code, text = ichseq("check", tmp_path / "scan")
    assert code == 10
    assert text.count("cut.dcm") == 2
    assert ichseq("inspect", tmp_path / "scan")[0] == 0
    (tmp_path / "cut").mkdir()
    for name in ("\x1b[2Jcut.dcm", "line\nbreak.dcm"):
        (tmp_path / "scan" / name).rename(tmp_path / "cut" / name)
    for command in ("check", "inspect"):
        assert ichseq(command, tmp_path / "cut")[0] in (0, 3)
    assert ichseq("score-study", tmp_path / "cut", "--model", model, "--out", tmp_path / "out", "--jobs", 1)[0] == 3
    only = tmp_path / "cut" / "\x1b[2Jcut.dcm"
    for command in ("check", "inspect"):
        assert ichseq(command, only)[0] in (0, 3)
