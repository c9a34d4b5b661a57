"""Every campaign whole, and a page of what came out: `make campaign`.

Runs the tests marked `campaign` (what `make test` samples) and writes `benchmarks/results/campaign.md` with versions: of each
command and signal at how many moments it was interrupted, and how often it wrote, run again, what a run left alone writes; of each
fault of a series what reading answered; of mutants of good series, what became of them. Words are passed on to pytest, so that a
part can be run; `--reports A.xml B.xml` runs nothing and makes the page from parts that ran before, each with
`--junitxml=A.xml -o junit_family=xunit1`; of a case that stands in several the last counts. `--note` is a sentence for the page.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.fault_table import fault_cases, fault_section, is_of_series
from benchmarks.mutant_tables import read_mutants, section
from ich_seq.files import write_text
from ich_seq.training.run import machine

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
SIGNALS = ("SIGINT", "SIGTERM", "SIGKILL")
_CASE = re.compile(rf"(?P<test>\w+)\[(?P<command>.+?)-(?P<signal>{'|'.join(SIGNALS)})(?:-[\d.]+)?\]")

_KILLED = """
## Killed while it writes embeddings

A process without torch writes generated scans through the product's own cache code and says which are done; it is killed at moments
drawn from a seed, one in five as it takes up the cache, the others within 4 ms after it said so. What was acknowledged is read back
after each kill, and again after every hundredth; the next process takes up what is there, without repair.
"""


@dataclass(frozen=True)
class Case:
    """One case of a campaign; `command` and `signal` are empty where nothing was interrupted; `said` is what the test recorded.

    `mutants` is empty where none were made.
    """

    name: str
    outcome: str
    seconds: float
    command: str = ""
    signal: str = ""
    said: Mapping[str, str] = field(default_factory=dict)
    mutants: list[dict[str, Any]] = field(default_factory=list)

    @property
    def where(self) -> str:
        """Which moments it is one of."""
        epoch = re.search(r"(first|last)_epoch", self.name)
        return f"{epoch.group(1)} epoch" if epoch else "anywhere"


def main() -> int:
    """Runs, writes, and returns pytest's exit code; with `--reports` 1 where a case of theirs did not pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", nargs="+", type=Path, help="pytest's reports of parts that ran before")
    parser.add_argument("--note", default="", help="a sentence on the circumstances, for the page")
    args, rest = parser.parse_known_args()
    if args.reports:
        last = {case.name: case for report in args.reports for case in read_cases(report)}
        cases = list(last.values())
        _write(cases, f", in {len(args.reports)} parts", args.note)
        return int(any(case.outcome in ("failure", "error") for case in cases))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "campaign.xml"
        # The family keeps what tests record of themselves.
        words = ["-m", "pytest", "-m", "campaign", "-q", f"--junitxml={report}", "-o", "junit_family=xunit1"]
        code = subprocess.run([sys.executable, *words, *rest], cwd=PROJECT, check=False).returncode
        _write(read_cases(report), f" ({' '.join(rest)} only)" if rest else "", args.note)
    return code


def _write(cases: Sequence[Case], part: str, note: str) -> None:
    facts = machine()
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    of = f"`make campaign`{part} on {facts['cores']} cores, Python {facts['python']}, {versions}"
    write_text(RESULTS / "campaign.md", page(cases, of, note))


def read_cases(report: Path) -> list[Case]:
    """The cases in pytest's JUnit report, in the order in which they ran."""
    found = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):  # noqa: S314  # written by pytest just now
        outcome = next((kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None), "passed")
        if not (name := case.get("name")):  # where pytest was interrupted
            continue
        parts = _CASE.fullmatch(name)
        struck = (parts["command"], parts["signal"]) if parts else ("", "")
        said = {str(item.get("name")): str(item.get("value")) for item in case.iter("property")}
        found.append(Case(name, outcome, float(case.get("time") or 0), *struck, said, read_mutants(case)))
    return found


def page(cases: Sequence[Case], of: str, note: str = "") -> str:
    """The page in Markdown: how often commands resumed, then each case that is not a passed interruption."""
    passed = sum(case.outcome == "passed" for case in cases)
    struck = [case for case in cases if case.command]
    killed = "".join(_facts(case) for case in cases if _is_killed_writer(case))
    shown = [case for case in cases if case.command or is_of_series(case.name) or _is_killed_writer(case)]
    others = [case for case in cases if case not in shown or case.outcome != "passed"]
    rows = "\n".join(
        _row(struck, command, where) for command, where in dict.fromkeys((c.command, c.where) for c in struck)
    )
    mutants = [told for case in cases for told in case.mutants]
    rest = "\n".join(f"| {case.name} | {case.outcome} | {case.seconds:.0f} |" for case in others)
    table = f"\n## Others, and what failed\n\n| case | outcome | s |\n| --- | --- | ---: |\n{rest}\n" if others else ""
    return f"""# Campaigns

{of}: {passed} of {len(cases)} cases passed in {sum(case.seconds for case in cases) / 60:.0f} min.
{note}

## Interrupted and run again

Moments are drawn from a seed over the whole life of a command; for the fits, some are placed in the first and the last epoch.
SIGINT goes to all processes, SIGTERM and SIGKILL to the first alone. "3 of 3": at three moments, and each time no process was left
alive 5 s later, SIGINT and SIGTERM gave one line and exit code 130, and the same command again wrote the digests of a run left alone.

| command | moments | {" | ".join(SIGNALS)} | s a case |
| --- | --- | {" | ".join("---:" for _ in SIGNALS)} | ---: |
{rows}
{_KILLED + killed if killed else ""}{fault_section(fault_cases(cases))}{table}{section(mutants)}"""


def _is_killed_writer(case: Case) -> bool:
    return case.name.startswith("test_killed_writer")


def _facts(case: Case) -> str:
    rows = "\n".join(f"| {name} | {value} |" for name, value in case.said.items())
    return f"\n| {case.name.partition('[')[0]} | {case.outcome} |\n| --- | ---: |\n{rows}\n"


def _row(struck: Sequence[Case], command: str, where: str) -> str:
    own = [case for case in struck if (case.command, case.where) == (command, where)]
    counts = []
    for signal in SIGNALS:
        outcomes = [case.outcome for case in own if case.signal == signal]
        counts.append(f"{outcomes.count('passed')} of {len(outcomes)}" if outcomes else "-")
    return f"| {command} | {where} | {' | '.join(counts)} | {sum(case.seconds for case in own) / len(own):.0f} |"


if __name__ == "__main__":
    sys.exit(main())
