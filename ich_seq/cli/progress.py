"""Progress on the terminal: a bar with rate and remaining time where a person watches, a line an epoch where not."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

Advance = Callable[[int, int], None]


@runtime_checkable
class FitProgress(Protocol):
    """Where a fit stands, as `training.loop` tells it; spelt out here so that counting bars need not load torch."""

    epoch: int
    step: int
    steps_per_epoch: int
    train_loss: float
    validation: dict[str, Any] | None


class RateColumn(ProgressColumn):
    """Items a second, such as `214 slices/s`."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """The rate over the last seconds, or a dash before there is one."""
        return Text("-" if task.speed is None else f"{task.speed:.0f} {self.unit}/s", style="cyan")


@contextlib.contextmanager
def counting(title: str, unit: str, *, quiet: bool) -> Iterator[Advance]:
    """A bar for `done` of `total`; call what it yields after each item."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        if not quiet:
            click.echo(f"{title} ...", err=True)
        yield lambda done, total: None
        return
    with _bar(console, unit) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextlib.contextmanager
def fitting(title: str, items_per_epoch: int, unit: str, *, quiet: bool) -> Iterator[Callable[[FitProgress], None]]:
    """A bar for each epoch of a fit, and one line when it ends."""
    console = Console(stderr=True)
    if quiet:
        yield lambda progress: None
        return
    if not console.is_terminal:
        yield lambda progress: click.echo(epoch_line(title, progress), err=True) if progress.validation else None
        return
    with _bar(console, unit) as bar:
        task = bar.add_task(title, total=items_per_epoch)

        def show(progress: FitProgress) -> None:
            done = round(items_per_epoch * progress.step / progress.steps_per_epoch)
            if progress.step == 1:
                bar.reset(task, total=items_per_epoch)
            text = f"{title} epoch {progress.epoch + 1}  loss {progress.train_loss:.4f}"
            bar.update(task, completed=done, description=text)
            if progress.validation:
                bar.console.print(epoch_line(title, progress))

        yield show


def epoch_line(title: str, progress: FitProgress) -> str:
    """Title, epoch, training and validation loss, and the validation AUC for any haemorrhage."""
    validation = progress.validation or {}
    auc = validation["auc"]["any"]
    area = "undefined (one class)" if auc != auc else f"{auc:.3f}"  # noqa: PLR0124  # nan is the one value unlike itself
    return (
        f"{title}  epoch {progress.epoch + 1:3d}  train loss {progress.train_loss:.4f}  "
        f"validation loss {validation['loss']:.4f}  AUC any {area}"
    )


def _bar(console: Console, unit: str) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(unit),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
