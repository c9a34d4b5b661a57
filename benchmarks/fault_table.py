"""The part of the campaign's page on faults of series: what reading answered to each, on each base."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

BASES = ("phantom", "rsna", "ge", "philips")
_OF_SERIES = re.compile(r"test_(?P<kind>fault|variant|relation)\[(?P<name>\w+?)(?:-(?P<base>\w+))?\]")


class Reported(Protocol):
    """What is read of a case in pytest's report."""

    @property
    def name(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def said(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class SeriesCase:
    """One fault, variant or relation, on one base (empty: on drawn series)."""

    kind: str
    name: str
    base: str
    outcome: str
    said: Mapping[str, str] = field(default_factory=dict)

    @property
    def answer(self) -> str:
        """`yes` where the expected codes came and no other, else the codes that came; `absent` where the base was not there."""
        if self.outcome == "skipped":
            return "absent"
        folder, zipped, expected = (self.said.get(key, "") for key in ("folder", "zip", "expected"))
        if folder != zipped:
            return f"**{folder or 'nothing'}** (zip: {zipped or 'nothing'})"
        return "yes" if folder == expected else f"**{folder or 'nothing'}**"


def is_of_series(name: str) -> bool:
    """Whether a case stands in this part of the page."""
    return _OF_SERIES.fullmatch(name) is not None


def fault_cases(cases: Sequence[Reported]) -> list[SeriesCase]:
    """The cases of this part, in the order in which they ran."""
    found = []
    for case in cases:
        if parts := _OF_SERIES.fullmatch(case.name):
            found.append(SeriesCase(parts["kind"], parts["name"], parts["base"] or "", case.outcome, case.said))
    return found


def fault_section(cases: Sequence[SeriesCase]) -> str:
    """The part in Markdown; nothing where no such case ran."""
    faults = [case for case in cases if case.kind == "fault"]
    if not faults:
        return ""
    names = list(dict.fromkeys(case.name for case in faults))
    at = {(case.name, case.base): case for case in faults}
    rows = "\n".join(_row(name, [at.get((name, base)) for base in BASES]) for name in names)
    as_wanted = sum(case.answer == "yes" for case in faults)
    ran = sum(case.outcome != "skipped" for case in faults)
    return f"""
## Faults of a series

{len(names)} faults of `tests/faults`, on a synthetic head and on the real series that were there, as a folder and as a zip.
Reading gave the codes of the catalogue and no other from D, W and E on in {as_wanted} of {ran} pairs: "yes". In bold: what came
instead. A dash: the fault cannot exist on that base.
{_passed(cases, "variant", "harmless variants were read with bit-equal HU and no warning")}
{_passed(cases, "relation", "relations held: identical HU, order and probabilities on 200 drawn series each")}

| fault | expected | {" | ".join(BASES)} |
| --- | --- |{" --- |" * len(BASES)}
{rows}
"""


def _row(name: str, cases: Sequence[SeriesCase | None]) -> str:
    expected = next((case.said["expected"] for case in cases if case and "expected" in case.said), "")
    return f"| {name.replace('_', ' ')} | {expected} | {' | '.join(case.answer if case else '-' for case in cases)} |"


def _passed(cases: Sequence[SeriesCase], kind: str, what: str) -> str:
    own = [case for case in cases if case.kind == kind and case.outcome != "skipped"]
    return f"{sum(case.outcome == 'passed' for case in own)} of {len(own)} {what}." if own else ""
