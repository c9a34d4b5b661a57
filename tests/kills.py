"""Signals from outside at a moment of a command's life, who is left alive, and the same command again."""

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from ich_seq.cli import main

_LEFT_S = 5.0


@dataclass(frozen=True)
class Ended:
    """How a command ended: whether the signal met it at work, its exit code, its stderr, and its processes left after 5 s."""

    met: bool
    code: int
    said: str
    left: list[str]


def command(*arguments: str) -> list[str]:
    """The command line of `ichseq` with this interpreter."""
    return [sys.executable, "-m", "ich_seq", *arguments]


def run(*arguments: str) -> float:
    """Runs a command to its end and returns its seconds; a failure shows its output."""
    started = time.monotonic()
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - started


def run_here(*arguments: str) -> tuple[int, str]:
    """A command in this process, which has imported what it needs: its exit code, and its stderr."""
    done = CliRunner().invoke(main, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stderr


def strike(number: signal.Signals, moment: float | Callable[[], bool], *arguments: str) -> Ended:
    """Starts a command in a session of its own and sends it a signal at a moment.

    The moment is so many seconds after the command has come to answer signals (before that Python is starting, and nothing of
    ours runs), or as soon as something is seen. SIGINT goes to all processes, as a terminal sends it; the others to the
    first alone, which has to see to its own.
    """
    with tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            command(*arguments), stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True
        )
        _wait(lambda: _answers(process.pid), process)
        if callable(moment):
            _wait(moment, process)
        else:
            until = time.monotonic() + moment
            _wait(lambda: time.monotonic() >= until, process)
        met = process.poll() is None and _answers(process.pid)
        if met and number == signal.SIGINT:
            os.killpg(process.pid, number)
        elif met:
            process.send_signal(number)
        code = process.wait()
        ended = time.monotonic()
        while (left := processes_of_session(process.pid)) and time.monotonic() < ended + _LEFT_S:
            time.sleep(0.02)
        if left:
            os.killpg(process.pid, signal.SIGKILL)
        stderr.seek(0)
        return Ended(met, code, stderr.read(), list(left.values()))


def processes_of_session(session: int) -> dict[int, str]:
    """The processes of a session that have not ended, by their number, with their command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, of = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of) == session and state not in "ZX":
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _wait(until: Callable[[], bool], process: subprocess.Popen) -> None:
    while process.poll() is None and not until():
        time.sleep(0.002)


def _answers(process: int) -> bool:
    """Whether a process has a handler of its own for SIGTERM."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), "0")
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def together(processes: int, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in so many processes; `--` keeps torchrun from taking `--run` for an option of its own."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run([*torchrun, "-m", "--", "ich_seq", *words], capture_output=True, text=True, check=False)


def digests(folder: Path, pattern: str) -> dict[str, str]:
    """SHA-256 of each file that matches, by its path inside `folder`."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }
