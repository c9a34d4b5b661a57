"""The campaigns of mutants as a section of the campaigns' page: outcomes by seed and by kind of change, the slowest, what is wrong."""

import json
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

_OUTCOMES = ("same", "as stated", "flagged", "refused", "crash")
_EXPLAINED = """Each mutant is a good series (or one of its files) with one to six changes of bytes or of structure, made again
from the campaign's name and its number: `cd tests && PYTHONPATH=.. python -m fuzz show CAMPAIGN NUMBER`. It is read through the
public door in a process that is watched, and must be refused, or flagged, or read with the HU, the places, the order and the
identity that its bytes have by pydicom's own parse and by the arrays that the seed was made from. `same`: read as before the
change; `as stated`: otherwise, as the bytes say; `flagged`: with a code of weight D or W that the seed does not have."""


def read_mutants(case: Element) -> list[dict[str, Any]]:
    """What a case of pytest's JUnit report tells of mutants: an empty list for most."""
    properties = case.findall("./properties/property[@name='mutants']")
    return [json.loads(found.get("value") or "{}") for found in properties]


def section(campaigns: list[dict[str, Any]]) -> str:
    """The section in Markdown; empty without a campaign."""
    if not campaigns:
        return ""
    return "\n## Mutants\n\n" + _EXPLAINED + "\n" + "".join(_campaign(told) for told in campaigns)


def _campaign(told: dict[str, Any]) -> str:
    seeds = told["seeds"]
    if told["campaign"] == "real":  # many files: one row for each folder
        seeds = _by_folder(seeds)
    total = sum(sum(outcomes.values()) for outcomes in seeds.values())
    slowest = ", ".join(f"{seconds:.2f} s ({name}, {number})" for seconds, number, name in told["slowest"][:3])
    codes = ", ".join(f"{code} {count:,}" for code, count in list(told["codes"].items())[:15])
    faults = "".join(f"- {f['number']} ({f['seed']}): {f['fault']}; {f['done']}\n" for f in told["faults"])
    return f"""
### Campaign `{told["campaign"]}`: {total:,} mutants, {told["faults_in_all"]:,} faults

The largest process held {told["peak_bytes"] / 1024**2:,.0f} MiB; the slowest mutants took {slowest} of computing.

{_table("seed", seeds)}
{_table("change (the first)", told["kinds"])}
Codes, the most frequent: {codes}.
{faults}"""


def _table(title: str, rows: Mapping[str, Mapping[str, int]]) -> str:
    lines = [
        f"| {title} | mutants | {' | '.join(_OUTCOMES)} |",
        f"| --- | ---: | {' | '.join('---:' for _ in _OUTCOMES)} |",
    ]
    for name, outcomes in sorted(rows.items()):
        counts = " | ".join(f"{outcomes.get(outcome, 0):,}" for outcome in _OUTCOMES)
        lines.append(f"| {name or '(died)'} | {sum(outcomes.values()):,} | {counts} |")
    return "\n".join(lines) + "\n"


def _by_folder(seeds: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    folders: dict[str, dict[str, int]] = {}
    for name, outcomes in seeds.items():
        folder = folders.setdefault(name.partition("/")[0], {})
        for outcome, count in outcomes.items():
            folder[outcome] = folder.get(outcome, 0) + count
    return folders
