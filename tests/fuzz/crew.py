"""Runs mutants in processes that are watched: one that dies, hangs or grows is a fault of the mutant in hand, and the run goes on."""

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz.child import BATCH, LIMIT_BYTES, LIMIT_S

TESTS = Path(__file__).resolve().parents[1]
CHILD = "fuzz.child"
_STALLED_S = 60.0
"""How long a process may stand still without computing: a machine that is busy with other work stalls it, a deadlock for ever."""
_MOST_DEATHS = 50


@dataclass
class Tally:
    """Outcomes of a run: mutants by seed, kind, outcome and code; what is wrong; the slowest; the largest process."""

    counts: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    faults: list[dict[str, Any]] = field(default_factory=list)
    slowest: list[tuple[float, int, str]] = field(default_factory=list)
    peak_bytes: int = 0

    def add(self, told: dict[str, Any]) -> None:
        """One batch of a child."""
        for *key, count in told["counts"]:
            self.counts[tuple(key)] += count
        self.faults += told["faults"]
        self.slowest = sorted([*self.slowest, *map(tuple, told["slowest"])], reverse=True)[:5]
        self.peak_bytes = max(self.peak_bytes, told["peak"], told["peak_of_children"])

    def by(self, place: int) -> dict[str, Counter[str]]:
        """Outcomes counted by seed (0) or kind (1)."""
        table: dict[str, Counter[str]] = {}
        for key, count in self.counts.items():
            table.setdefault(key[place], Counter())[key[2]] += count
        return table

    def codes(self) -> dict[str, int]:
        """How often each code was the answer."""
        table: Counter[str] = Counter()
        for (_, _, _, code), count in self.counts.items():
            if code:
                table[code] += count
        return dict(table.most_common())


def run(campaign: str, count: int, processes: int = 1, real_data: Path | None = None) -> Tally:
    """Mutants 0 to `count` of a campaign, judged in `processes` at once; those of real files where `real_data` is given."""
    tally = Tally()
    step = -(-count // processes)
    ranges = [(start, min(start + step, count)) for start in range(0, count, step)]
    with ThreadPoolExecutor(processes) as pool:
        for told in pool.map(lambda span: list(_watched(campaign, *span, real_data)), ranges):
            for batch in told:
                tally.add(batch)
    return tally


def _watched(campaign: str, start: int, stop: int, real_data: Path | None) -> Iterator[dict[str, Any]]:
    """What children tell of one range; a new child takes over where one died, without the mutant that it died of."""
    memory = Path("/dev/shm")
    home = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
    skip: list[int] = []
    try:
        while start < stop and len(skip) < _MOST_DEATHS:
            (home / "skip").write_text(" ".join(map(str, skip)))
            child = _Child(home, [campaign, str(start), str(stop), str(home), *([str(real_data)] if real_data else [])])
            for told in child.told():
                start = told["first"] + BATCH
                yield told
            if child.end:
                number = child.number()
                skip.append(number)
                yield _death(number, child.end)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _death(number: int, how: str) -> dict[str, Any]:
    fault = {"number": number, "seed": "", "done": [], "fault": how}
    return {"counts": [["", "", "crash", how, 1]], "faults": [fault], "slowest": [], "peak": 0, "peak_of_children": 0}


class _Child:
    """A process that judges mutants, and how it ended: empty where it came to the end of its range."""

    def __init__(self, home: Path, words: list[str]) -> None:
        path = os.pathsep.join([str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        self.home, self.end = home, ""
        (home / "now").write_text("-1")
        with (home / "noise").open("wb") as noise:  # decoders write to stderr what they think of a stream
            self.process = subprocess.Popen(
                [sys.executable, "-m", CHILD, *words], stdout=subprocess.PIPE, stderr=noise, env=environment
            )

    def number(self) -> int:
        """The mutant in hand."""
        return int((self.home / "now").read_text())

    def told(self) -> Iterator[dict[str, Any]]:
        """Each batch as it is told, until the process ends or has to be ended."""
        assert self.process.stdout is not None
        number, since, used = -1, time.monotonic(), 0.0
        with self.process.stdout as lines:
            while True:
                if select.select([lines], [], [], 0.5)[0]:
                    line = lines.readline()
                    if not line:
                        break
                    yield json.loads(line)
                elif (current := self.number()) != number:
                    number, since, used = current, time.monotonic(), self._computed()
                elif number >= 0:
                    self._end_if_stuck(time.monotonic() - since, self._computed() - used)
        if (code := self.process.wait()) and not self.end:
            last = (self.home / "noise").read_text(errors="replace").strip().rsplit("\n", 1)[-1]
            if code > 0:
                raise RuntimeError(f"mutant {self.number()}: the harness failed: {last}")
            self.end = f"the process died (signal {-code})"

    def _end_if_stuck(self, waited: float, computed: float) -> None:
        if (held := self._held()) > LIMIT_BYTES:
            self.end = f"held {held / 1024**3:.1f} GiB"
        elif computed > LIMIT_S or waited > _STALLED_S:
            self.end = f"no end after {computed:.0f} s of computing, {waited:.0f} s by the clock"
        if self.end:
            self.process.kill()

    def _computed(self) -> float:
        """Seconds of computing so far. Source: proc(5)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _held(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
