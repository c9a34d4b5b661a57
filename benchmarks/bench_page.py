"""The page of `make bench`, and the few rows of it that the README shows."""

import re
from typing import Any

from benchmarks.bench_row import Part, Row
from benchmarks.rounds import Spread

BEGIN, END = "<!-- the next table is written by `make bench` -->", "<!-- end of it -->"
_README_PARTS = ("A scan of 32 slices, cold", "A slice, warm", "Many studies in one call")


def markdown(facts: dict[str, Any], network: str, scan: str, parts: list[Part]) -> str:
    """The page that is committed."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    text = [
        "# Speed and memory",
        f"`make bench` on {facts['processor']}, {facts['cores']} cores ({facts['features']}), {facts['system']}, "
        f"Python {facts['python']}, {versions}. {network}, PCA to 120 and the BiLSTM, seeded weights; {scan}. Ways that are compared "
        "had their turns in the same rounds, one after another; medians with quartiles over the rounds.",
        facts["note"],
    ]
    for part in parts:
        text += [f"## {part.title}", part.words, _table(part.rows), part.note]
    return "\n\n".join(each for each in text if each) + "\n"


def _table(rows: list[Row]) -> str:
    if not rows:
        return ""
    extra = {
        "times as fast": lambda row: str(row.times) if row.times else "",
        "of the peak": lambda row: f"{row.share:.0%}" if row.share else "",
        "peak MB": lambda row: f"{row.peak_mb:,.0f}" if row.peak_mb else "",
    }
    used = {name: text for name, text in extra.items() if any(text(row) for row in rows)}
    heads = ["", "median (quartiles)", "", *used, "state", "rounds"]
    lines = [heads, ["---", "---:", "---", *("---:" for _ in used), "---", "---:"]]
    for row in rows:
        lines.append(
            [row.title, str(row.value), row.unit, *(text(row) for text in used.values()), row.state, str(row.rounds)]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def readme_table(facts: dict[str, Any], parts: list[Part]) -> str:
    """The rows that a newcomer asks for."""
    of_title = {part.title: part for part in parts}
    lines = [f"| {facts['processor']}, {facts['cores']} cores | median | times as fast |", "| --- | ---: | ---: |"]
    for title in _README_PARTS:
        for row in of_title[title].rows if title in of_title else []:
            times = f"{row.times.median:.1f}" if row.times else ""
            name = row.title if title == "Many studies in one call" else f"{title}: {row.title}"
            lines.append(f"| {name} | {row.value.median:.3g} {row.unit} | {times} |")
    return "\n".join(lines)


def parts_of(result: dict[str, Any]) -> list[Part]:
    """The parts of a `bench.json`."""

    def row(values: dict[str, Any]) -> Row:
        times = values["times"] and Spread(**values["times"])
        return Row(**{**values, "value": Spread(**values["value"]), "times": times})

    return [Part(**{**part, "rows": [row(values) for values in part["rows"]]}) for part in result["parts"]]


def put_into(readme: str, table: str) -> str:
    """The README's text with its table replaced.

    Raises:
        ValueError: its two marks are not there.
    """
    pattern = f"({re.escape(BEGIN)}\n\n).*?(\n\n{re.escape(END)})"
    changed, count = re.subn(pattern, lambda found: f"{found[1]}{table}{found[2]}", readme, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"README.md: {BEGIN} and {END} must stand there once")
    return changed
