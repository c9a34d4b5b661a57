"""Every campaign whole, and a page of what came out: `make campaign`.

Runs the tests marked `campaign` (what `make test` samples) and writes `benchmarks/results/campaign.md` with versions.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from ich_seq.files import write_text
from ich_seq.training.run import machine

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Runs, writes, and returns pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "campaign.xml"
        words = ["-m", "pytest", "-m", "campaign", "-q", f"--junitxml={report}", *sys.argv[1:]]
        code = subprocess.run([sys.executable, *words], cwd=PROJECT, check=False).returncode
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))  # noqa: S314  # written by pytest just now
    facts = machine()
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    rows = "\n".join(
        f"| {case.get('name')} | {_outcome(case)} | {float(case.get('time') or 0):.0f} |" for case in cases
    )
    passed = sum(_outcome(case) == "passed" for case in cases)
    page = f"""# Campaigns

`make campaign` on {facts["cores"]} cores, Python {facts["python"]}, {versions}: {passed} of {len(cases)} passed.

| campaign | outcome | s |
| --- | --- | ---: |
{rows}
"""
    write_text(RESULTS / "campaign.md", page)
    return code


def _outcome(case: ElementTree.Element) -> str:
    return next((kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None), "passed")


if __name__ == "__main__":
    sys.exit(main())
