"""A request to end ends a process with one line and code 130, whatever code it meets."""

import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = """
import os, signal, sys, time, types
import click
import ich_seq.cli as cli

def asked():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)

@click.command()
def command():
    {body}

module = types.ModuleType("ich_seq.cli.command")
module.command = command
sys.modules[module.__name__] = module
cli.COMMANDS["command"] = ("command", "")
sys.argv = ["ichseq", "command"]
cli.main()
"""
MET = {
    "plain code": "asked()",
    "text that is executed": 'exec("asked()", globals())',
    "an object that is taken away": """
    class Slow:
        def __del__(self):
            asked()
    Slow()
    time.sleep(5)""",
    "a library that makes an error of its own of it": """
    try:
        asked()
    except KeyboardInterrupt as error:
        raise RuntimeError("a worker has died") from error""",
    "a thread's wait": """
    import threading
    threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    threading.Event().wait(5)""",
}


def ended(body: str, folder: Path) -> tuple[int, str]:
    """Exit code and stderr of a command with this body, run as `python -m` runs a module."""
    (folder / "begun.py").write_text(BEGIN.replace("{body}", body))
    words = [sys.executable, "-m", "begun"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize("body", MET.values(), ids=MET.keys())
def test_a_request_to_end_is_met_in(body: str, tmp_path: Path) -> None:
    assert ended(body, tmp_path) == (130, "\ninterrupted; run the same command again to continue\n")


def test_a_second_request_ends_without_a_word(tmp_path: Path) -> None:
    code, said = ended(
        """
    import click
    before = click.echo
    def echo(*words, **more):
        before(*words, **more)
        os.kill(os.getpid(), signal.SIGTERM)
    click.echo = echo
    asked()""",
        tmp_path,
    )
    assert (code, said) == (-15, "\ninterrupted; run the same command again to continue\n")


def test_an_error_of_our_own_that_nobody_asked_for_is_raised(tmp_path: Path) -> None:
    code, said = ended("raise RuntimeError('ours')", tmp_path)
    assert code == 1
    assert said.endswith("RuntimeError: ours\n")


def test_who_is_deaf_to_ctrl_c_stays_so(tmp_path: Path) -> None:
    body = "os.kill(os.getpid(), signal.SIGINT)"
    assert ended(body, tmp_path)[0] == 130
    (tmp_path / "begun.py").write_text(
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + BEGIN.replace("{body}", body)
    )
    assert subprocess.run([sys.executable, "-m", "begun"], cwd=tmp_path, check=False, timeout=60).returncode == 0
