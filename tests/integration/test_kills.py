"""Every long command interrupted from outside, then run again: it has written what a run left alone writes.

The moments are drawn from a seed over the whole life of a command; of the two fits one lies in the first epoch and one in the last.
One of them here, all in `make campaign`. On the same number of threads the bits are the same. `explore`, `evaluate` and `index` have
nothing to go on with: what they write is there whole or not at all, and they do it again.
"""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kills import run, strike
from left_alone import HEAVY, LIGHT, LeftAlone, LongCommands, Written

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
FITS = {"train-cnn": ("stage_one", 3), "train-cnn --tiles": ("stage_one", 3), "train-lstm": ("stage_two", 2)}
"""Where each fit keeps its log, and its epochs."""
INTERRUPTED = "interrupted; run the same command again to continue"
Seen = Callable[[Path], bool]


def drawn(pairs: list[tuple[str, signal.Signals]], seed: int) -> list[Any]:
    """A moment for each command and signal, as a share of the command's life."""
    moments = np.random.default_rng(seed).uniform(0, 1, len(pairs)).tolist()
    return [
        pytest.param(name, number, moment, id=f"{name}-{number.name}-{moment:.3f}")
        for (name, number), moment in zip(pairs, moments, strict=True)
    ]


def times(count: int, names: tuple[str, ...]) -> list[tuple[str, signal.Signals]]:
    """Each command with each signal, so often."""
    return [(name, number) for name in names for number in SIGNALS for _ in range(count)]


def all_of(names: tuple[str, ...]) -> list[Any]:
    return [pytest.param(name, number, id=f"{name}-{number.name}") for name in names for number in SIGNALS]


OFTEN_KILLED = [("extract-features", signal.SIGKILL)] * 20


@pytest.fixture(scope="session")
def long_commands(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LongCommands:
    return LongCommands(tmp_path_factory.mktemp("left_alone"), lambda: request.getfixturevalue("small_run"))


def check(left_alone: LeftAlone, number: signal.Signals, moment: float | Seen, folder: Path) -> bool:
    """Whether the signal met the command at work; in whatever state, nothing shows of it when the command has run again."""
    left_alone.prepare(folder)
    words = [*left_alone.words(folder), "--quiet"]
    ended = strike(number, (lambda: moment(folder)) if callable(moment) else moment * left_alone.seconds, *words)
    assert ended.left == []
    if not ended.met:
        assert ended.code == 0, ended.said
    elif number == signal.SIGKILL:
        assert ended.code == -signal.SIGKILL
    else:
        assert (ended.code, ended.said.split("\n")) == (130, ["", INTERRUPTED, ""]), ended.said
    run(*words)
    assert Written.of(folder, left_alone.patterns) == left_alone.written
    return ended.met


def epochs_done(log: Path) -> int:
    return log.read_text(encoding="utf-8").count("\n") if log.exists() else 0


def in_epoch(name: str, epoch: int) -> Seen:
    """Whether a fit has begun and has done so many epochs, no more: a fit that is past it is not seen any more."""
    stage = FITS[name][0]
    return lambda folder: (folder / stage).exists() and epochs_done(folder / stage / "metrics.jsonl") == epoch


def check_epoch(long_commands: LongCommands, name: str, number: signal.Signals, *, last: bool, folder: Path) -> None:
    seen = in_epoch(name, FITS[name][1] - 1 if last else 0)
    assert check(long_commands[name], number, seen, folder), "the command ended before it was seen in that epoch"


def test_interrupted_in_its_last_epoch_and_run_again(long_commands: LongCommands, tmp_path: Path) -> None:
    check_epoch(long_commands, "train-lstm", signal.SIGTERM, last=True, folder=tmp_path / "own")


@pytest.mark.campaign
@pytest.mark.parametrize(("name", "number", "moment"), drawn(OFTEN_KILLED, seed=4))
def test_killed_often(
    long_commands: LongCommands, name: str, number: signal.Signals, moment: float, tmp_path: Path
) -> None:
    check(long_commands[name], number, moment, tmp_path / "own")


@pytest.mark.campaign
@pytest.mark.parametrize(("name", "number", "moment"), drawn([*times(5, LIGHT), *times(3, HEAVY)], seed=2))
def test_at_random(
    long_commands: LongCommands, name: str, number: signal.Signals, moment: float, tmp_path: Path
) -> None:
    check(long_commands[name], number, moment, tmp_path / "own")


@pytest.mark.campaign
@pytest.mark.parametrize(("name", "number"), all_of(tuple(FITS)))
def test_in_the_first_epoch(long_commands: LongCommands, name: str, number: signal.Signals, tmp_path: Path) -> None:
    check_epoch(long_commands, name, number, last=False, folder=tmp_path / "own")


@pytest.mark.campaign
@pytest.mark.parametrize(("name", "number"), all_of(tuple(FITS)))
def test_in_the_last_epoch(long_commands: LongCommands, name: str, number: signal.Signals, tmp_path: Path) -> None:
    check_epoch(long_commands, name, number, last=True, folder=tmp_path / "own")


@pytest.mark.campaign
@pytest.mark.parametrize(("name", "number", "moment"), drawn(times(1, ("demo",)), seed=3))
def test_the_demo(
    long_commands: LongCommands, name: str, number: signal.Signals, moment: float, tmp_path: Path
) -> None:
    check(long_commands[name], number, moment, tmp_path / "own")
