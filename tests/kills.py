"""`kill -9` from outside at a moment of a command's life, and the same command again."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def command(*arguments: str) -> list[str]:
    """The command line of `ichseq` with this interpreter."""
    return [sys.executable, "-m", "ich_seq", *arguments]


def run(*arguments: str) -> float:
    """Runs a command to its end on one thread and returns its seconds; a failure shows its output."""
    started = time.monotonic()
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - started


def kill_after(seconds: float, *arguments: str) -> bool:
    """Starts a command in a process group of its own and kills all of it after `seconds`; False if it ended before."""
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def together(processes: int, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in so many processes; `--` keeps torchrun from taking `--run` for an option of its own."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run([*torchrun, "-m", "--", "ich_seq", *words], capture_output=True, text=True, check=False)


def digests(folder: Path, pattern: str) -> dict[str, str]:
    """SHA-256 of each file that matches, by its path inside `folder`."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob(pattern))
    }
