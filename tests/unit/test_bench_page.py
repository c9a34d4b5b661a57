"""`make bench`: every way has its turn in each round, its page says what was measured, and the README shows the committed figures."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.bench_page import BEGIN, END, markdown, parts_of, put_into, readme_table
from benchmarks.bench_row import Part, Row
from benchmarks.rounds import Spread, alternate, ratios, spread

PROJECT = Path(__file__).resolve().parents[2]
FACTS = {
    "processor": "A Processor",
    "cores": 2,
    "features": "avx2",
    "system": "Linux",
    "python": "3.11",
    "packages": {"torch": "2.11"},
    "note": "",
}


def test_each_way_has_its_turn_in_each_round_and_warm_ups_do_not_count() -> None:
    order = []

    def way(name: str) -> int:
        order.append(name)
        return len(order)

    found = alternate({"a": lambda: way("a"), "b": lambda: way("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert found == {"a": [3, 5], "b": [4, 6]}


def test_quartiles_and_ratios_of_the_same_round() -> None:
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == Spread(3.0, 2.0, 4.0)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0)
    assert ratios([10.0, 20.0, 30.0], [1.0, 4.0, 10.0]) == Spread(5.0, 4.0, 7.5)
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_a_page_shows_only_the_columns_that_a_part_has_and_comes_back_from_json() -> None:
    fast = Row("ours", Spread(5.0, 4.0, 6.0), "ms a slice", "warm", 5, Spread(2.0, 1.5, 2.5), None, 0.61)
    parts = [
        Part("A slice, warm", "words", [Row("theirs", Spread(10.0, 9.0, 1234.0), "ms a slice", "warm", 5), fast]),
        Part("Bare", "", [], "a note"),
    ]
    page = markdown(FACTS, "a network", "a scan", parts)
    assert "| ours | 5 (4 to 6) | ms a slice | 2 (1.5 to 2.5) | 61% | warm | 5 |" in page
    assert "| theirs | 10 (9 to 1,234) | ms a slice |  |  | warm | 5 |" in page
    assert "peak MB" not in page
    assert page.endswith("## Bare\n\na note\n")
    again = parts_of(json.loads(json.dumps({"parts": [asdict(part) for part in parts]})))
    assert again == parts
    assert "| A slice, warm: ours | 5 ms a slice | 2.0 |" in readme_table(FACTS, parts)


def test_the_readmes_table_is_replaced_between_its_marks_alone() -> None:
    text = f"before\n\n{BEGIN}\n\nold\n\n{END}\n\nafter"
    assert put_into(text, "new") == f"before\n\n{BEGIN}\n\nnew\n\n{END}\n\nafter"
    with pytest.raises(ValueError, match="must stand there once"):
        put_into("no marks", "new")


def test_the_readme_shows_the_committed_figures() -> None:
    result = json.loads((PROJECT / "benchmarks/results/bench.json").read_text())
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert put_into(readme, readme_table(result["machine"], parts_of(result))) == readme
