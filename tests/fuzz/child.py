"""A range of mutants judged in a process of its own, which may die or hang without ending the run: see `crew`.

    python -m fuzz.child CAMPAIGN START STOP FOLDER [REAL_DATA]

Prints one JSON line after each batch. Before each mutant its number is written to FOLDER/now, so that whoever watches knows which
one was in hand. FOLDER/skip lists numbers to leave out.
"""

import heapq
import json
import os
import resource
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from fuzz.judge import read_and_judge
from fuzz.mutate import Mutant, mutant_of
from fuzz.seeds import Seed, made_seeds, real_seeds

BATCH = 250
LIMIT_S = 5.0
LIMIT_BYTES = 2 * 1024**3


def _peak_bytes() -> int:
    """The most that this process held; rusage would begin with what the process held that started it. Source: proc(5)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def main(campaign: str, start: str, stop: str, folder: str, real_data: str = "") -> int:
    """Judges mutants from `start` up to `stop`."""
    home = Path(folder)
    seeds = real_seeds(Path(real_data)) if real_data else made_seeds()
    skip = {int(number) for number in (home / "skip").read_text().split()}
    (home / "one").mkdir(exist_ok=True)
    (home / "many").mkdir(exist_ok=True)
    now = os.open(home / "now", os.O_RDWR | os.O_CREAT)
    for first in range(int(start), int(stop), BATCH):
        batch = Batch(first)
        for number in range(first, min(first + BATCH, int(stop))):
            if number not in skip:
                os.pwrite(now, b"%12d" % number, 0)
                batch.add(seeds, campaign, number, home)
        print(json.dumps(batch.told()), flush=True)  # noqa: T201
    os.pwrite(now, b"%12d" % -1, 0)
    return 0


class Batch:
    """Outcomes of some mutants: how many of each, what is wrong, the slowest."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.counts: Counter[tuple[str, str, str, str]] = Counter()
        self.faults: list[dict[str, Any]] = []
        self.slowest: list[tuple[float, int, str]] = []

    def add(self, seeds: list[Seed], campaign: str, number: int, home: Path) -> None:
        """Makes, reads and judges one mutant."""
        mutant = mutant_of(seeds, campaign, number)
        begun = time.process_time()
        outcome, code, wrong = judged(mutant, home / ("one" if len(mutant.files) == 1 else "many"))
        seconds = time.process_time() - begun
        peak = _peak_bytes()
        if seconds > LIMIT_S:
            wrong = (*wrong, f"took {seconds:.1f} s")
        if peak > LIMIT_BYTES:
            wrong = (*wrong, f"the process has held {peak / 1024**3:.1f} GiB")
        kind = mutant.kinds[0] if mutant.kinds else "none"
        self.counts[mutant.seed.name, kind, outcome, code] += 1
        heapq.heappush(self.slowest, (seconds, number, mutant.seed.name))
        if len(self.slowest) > 3:
            heapq.heappop(self.slowest)
        for fault in wrong[:2]:
            self.faults.append({"number": number, "seed": mutant.seed.name, "done": mutant.words, "fault": fault})

    def told(self) -> dict[str, Any]:
        """What the process that watches is told."""
        peak = _peak_bytes()
        grandchildren = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        counts = [[*key, count] for key, count in self.counts.items()]
        peaks = {"peak": peak, "peak_of_children": grandchildren}
        return {"first": self.first, "counts": counts, "faults": self.faults, "slowest": self.slowest, **peaks}


def judged(mutant: Mutant, folder: Path) -> tuple[str, str, tuple[str, ...]]:
    """Outcome, code and faults; whatever escapes that is not one of our errors is a crash."""
    try:
        verdict = read_and_judge(mutant, folder)
    except Exception as error:  # noqa: BLE001  # a crash is what is looked for
        where = [frame for frame in traceback.extract_tb(error.__traceback__) if "ich_seq" in frame.filename]
        at = f" at {Path(where[-1].filename).name}:{where[-1].lineno}" if where else " in the judge"
        return "crash", type(error).__name__, (f"{type(error).__name__}{at}: {error}",)
    return verdict.outcome, verdict.code, verdict.wrong


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
