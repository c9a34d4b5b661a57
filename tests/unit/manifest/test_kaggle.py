from pathlib import Path

import pytest

from ich_seq.errors import DatasetError
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.kaggle import read_labels


def rows(image: str, *positive: str) -> list[str]:
    return [f"{image}_{name},{int(name in positive)}" for name in LABEL_NAMES]


def labels_file(folder: Path, lines: list[str], header: str = "ID,Label") -> Path:
    path = folder / "stage_2_train.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_labels_are_joined_by_the_stem_whatever_the_order_of_rows(tmp_path: Path):
    lines = rows("ID_0a", "subdural", "any") + rows("ID_0b")
    labels, notes = read_labels(labels_file(tmp_path, lines[::-1]))
    assert list(labels.columns) == list(LABEL_NAMES)
    assert labels.loc["ID_0a"].tolist() == [0, 0, 0, 0, 1, 1]
    assert labels.loc["ID_0b"].tolist() == [0] * 6
    assert notes == []


def test_rows_listed_twice_count_once_and_are_noted(tmp_path: Path):
    lines = rows("ID_0a", "epidural", "any") * 2 + rows("ID_0b")
    labels, notes = read_labels(labels_file(tmp_path, lines))
    assert len(labels) == 2
    assert notes == ["stage_2_train.csv: 6 rows repeat an earlier one; each counted once"]


def test_rows_that_conflict_are_refused_and_named(tmp_path: Path):
    lines = [*rows("ID_0a", "any", "subdural"), "ID_0a_subdural,0"]
    with pytest.raises(DatasetError, match="E-LABEL-CONFLICT: 1 rows that contradict each other: ID_0a_subdural"):
        read_labels(labels_file(tmp_path, lines))


def test_only_the_first_ten_are_named_and_all_are_counted(tmp_path: Path):
    lines = [line for k in range(25) for line in rows(f"ID_{k:02d}")[1:]]
    with pytest.raises(DatasetError, match="25 images without a row for each of the six labels: ID_00") as caught:
        read_labels(labels_file(tmp_path, lines))
    assert "ID_09, ..." in caught.value.message
    assert "ID_10" not in caught.value.message


@pytest.mark.parametrize(
    "line", ["ID_0a_subgaleal,0", "ID_0a_any,2", "ID_0a_any,", "ID_0a_any, 1", "ID_0a_any,nan", "any,0"]
)
def test_unknown_labels_and_values_other_than_0_and_1_are_refused(tmp_path: Path, line: str):
    with pytest.raises(DatasetError, match=f"E-LABEL-INCOMPLETE: 1 rows .*: {line}"):
        read_labels(labels_file(tmp_path, [*rows("ID_0b"), line]))


@pytest.mark.parametrize("positive", [("any",), ("subdural",)])
def test_any_other_than_the_or_of_the_five_is_refused(tmp_path: Path, positive: tuple[str, ...]):
    with pytest.raises(DatasetError, match=r"E-LABEL-INCONSISTENT: 1 images .*: ID_0a"):
        read_labels(labels_file(tmp_path, rows("ID_0a", *positive)))


def test_semicolons_are_refused_with_the_way_out(tmp_path: Path):
    with pytest.raises(DatasetError, match="semicolons separate its columns; save it with commas"):
        read_labels(labels_file(tmp_path, [line.replace(",", ";") for line in rows("ID_0a")], header="ID;Label"))


def test_a_byte_order_mark_and_windows_line_ends_are_read_past(tmp_path: Path):
    path = tmp_path / "stage_2_train.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(["ID,Label", *rows("ID_0a", "any", "epidural")]).encode())
    assert read_labels(path)[0].loc["ID_0a"].tolist() == [1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), (b"", "not a readable CSV"), (b"ID,Label\n\xff", "not a readable CSV")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, message: str):
    path = tmp_path / "stage_2_train.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match=f"stage_2_train.csv: {message}"):
        read_labels(path)
