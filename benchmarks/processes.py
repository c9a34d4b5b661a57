"""A command as a whole process: seconds and peak memory, over several runs."""

import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ICHSEQ = (sys.executable, "-m", "ich_seq")


@dataclass(frozen=True)
class Timing:
    """Median and range of wall seconds, and the largest peak memory of a single process in MB."""

    median_s: float
    fastest_s: float
    slowest_s: float
    peak_mb: float
    runs: int


def timed(command: tuple[str, ...], runs: int, cwd: Path | None = None, warm_up: int = 1) -> Timing:
    """Runs `command` some times after a warm-up.

    Raises:
        RuntimeError: it failed; its output is in the message.
    """
    seconds, peak_mb = [], 0.0
    for turn in range(runs + warm_up):
        started = time.monotonic()
        child = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        fault = child.stderr.read() if child.stderr else ""
        _, status, usage = os.wait4(child.pid, 0)
        if status != 0:
            raise RuntimeError(f"{' '.join(command)}: {fault[-500:]}")
        if turn >= warm_up:
            seconds.append(time.monotonic() - started)
            peak_mb = max(peak_mb, usage.ru_maxrss / 1024)
    return Timing(statistics.median(seconds), min(seconds), max(seconds), peak_mb, runs)


def children_peak_mb() -> float:
    """The largest peak memory of any finished child process, in MB."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
