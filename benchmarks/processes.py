"""A command as a whole process: seconds and peak memory, over several runs."""

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ICHSEQ = (sys.executable, "-m", "ich_seq")


@dataclass(frozen=True)
class Timing:
    """Median and range of wall seconds, median seconds of processor time, and the largest peak memory of a single process in MB."""

    median_s: float
    fastest_s: float
    slowest_s: float
    processor_s: float
    peak_mb: float
    runs: int


_WATCH = """
import json, os, resource, sys, time
silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
started = time.monotonic()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=silent)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
seconds = time.monotonic() - started
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([status, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""
"""Started by a large process, a command would have that one's peak memory, which a fork hands on; so a small one starts it."""


@dataclass(frozen=True)
class Run:
    """One run of a command: wall seconds, seconds of processor time, and the peak memory of its largest process in MB."""

    seconds: float
    processor_s: float
    peak_mb: float


def once(command: tuple[str, ...], cwd: Path | None = None) -> Run:
    """Runs `command` to its end, its output thrown away.

    Raises:
        RuntimeError: it failed; what it said to stderr is in the message.
    """
    watch = (sys.executable, "-S", "-c", _WATCH, *command)
    done = subprocess.run(watch, cwd=cwd, capture_output=True, text=True, check=True)
    status, *used = json.loads(done.stdout)
    if status != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-500:]}")
    return Run(*used)


def timed(command: tuple[str, ...], runs: int, cwd: Path | None = None, warm_up: int = 1) -> Timing:
    """Runs `command` some times after a warm-up; raises as `once`."""
    found = [once(command, cwd) for _ in range(runs + warm_up)][warm_up:]
    seconds = [run.seconds for run in found]
    processor_s = statistics.median(run.processor_s for run in found)
    peak_mb = max(run.peak_mb for run in found)
    return Timing(statistics.median(seconds), min(seconds), max(seconds), processor_s, peak_mb, runs)
