"""The command line as such: one line for a fault, and the exit code of its class."""

import signal
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from ich_seq import errors
from ich_seq.cli import COMMANDS, LazyGroup, main


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.IchSeqError, 1),
        (errors.ConfigError, 2),
        (errors.NoDicomError, 3),
        (errors.IncompleteSeriesError, 3),
        (errors.DatasetError, 3),
        (errors.SomeStudiesFailedError, 4),
        (errors.OutputError, 5),
        (errors.BundleError, 6),
        (errors.StaleCacheError, 6),
        (KeyboardInterrupt, 130),
    ],
)
def test_each_fault_has_its_exit_code_and_one_line(
    error: type[BaseException], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def failing() -> None:
        raise error("scan.dcm: what is wrong; what to do")

    monkeypatch.setattr(LazyGroup, "get_command", lambda *_: failing)
    result = CliRunner().invoke(main, ["failing"])
    assert result.exit_code == code
    assert len(result.stderr.strip().splitlines()) == 1
    if code != 130:
        assert result.stderr == "error: scan.dcm: what is wrong; what to do\n"


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    for name, cls in vars(errors).items():
        if isinstance(cls, type) and issubclass(cls, errors.IchSeqError):
            (line,) = (
                text for text in (errors.__doc__ or "").splitlines() if f" {name} " in f" {text.strip(' │├└─')} "
            )
            assert str(cls.exit_code) in line.split(name)[1].split()[0]


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["score-studdy"])
    assert result.exit_code == 2
    assert "score-studdy" in result.stderr


def test_help_lists_every_command_and_says_what_it_is_not() -> None:
    text = CliRunner().invoke(main, ["--help"]).stdout
    assert all(name in text for name in COMMANDS)
    assert "not a medical device" in text


def test_python_dash_m_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "ich_seq", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ichseq, version ")


LATE = """
import atexit, os, sys
import click
from ich_seq.cli import LazyGroup, main

@click.command()
@click.argument("how")
def work(how):
    if how == "interrupted":
        raise KeyboardInterrupt

LazyGroup.get_command = lambda *_: work
atexit.register(os.kill, os.getpid(), int(sys.argv.pop(1)))
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("how", "said"),
    [("done", ""), ("interrupted", "\ninterrupted; run the same command again to continue\n")],
)
def test_a_signal_while_the_interpreter_ends_is_no_traceback(number: signal.Signals, how: str, said: str) -> None:
    """Of a command that was done it changes nothing; one that was interrupted ends by the second request."""
    words = [sys.executable, "-c", LATE, str(int(number)), "work", how]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0 if how == "done" else -number, said)
