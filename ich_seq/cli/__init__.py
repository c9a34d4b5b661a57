"""The command line: each command parses, makes a config, makes one call and prints a few lines; nothing else prints or exits."""

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from ich_seq import __version__
from ich_seq.cli.interrupts import EXIT_CODE, INTERRUPTS, SAID
from ich_seq.cli.terminal import printable_lines
from ich_seq.errors import IchSeqError, UsageError
from ich_seq.training import ranks

# Threads that wait for each other spin for some microseconds, then sleep: spinning for long takes the core from whoever has work.
# Single runs of training on a quiet machine: 174 slices/s sleeping at once, 195 with this, 208 always spinning. Beside other
# processes it has not been measured yet. Read when torch loads.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

TOGETHER = ("train-cnn", "extract-features")
"""The commands that torchrun may start as several processes."""
# Name -> (module, one line of help). The modules are imported only when their command is called, so that --help is quick.
COMMANDS = {
    "demo": ("demo", "Make synthetic scans, train both stages on them, evaluate, score: the whole in minutes."),
    "phantom": ("phantom", "Write synthetic head CTs with bleeds of known place and volume, as DICOM."),
    "index": ("index", "Read a dataset's headers and labels into one table of slices, split by patient."),
    "explore": ("explore", "Draw a dataset's labels, geometry, HU and windows as one page."),
    "cache-tiles": ("tiles", "Window every slice of a table once, so that training need not read the images."),
    "train-cnn": ("train", "Train stage one, the slice classifier."),
    "extract-features": ("train", "Run stage one over every series and keep embeddings and PCA."),
    "train-lstm": ("train", "Train stage two, the sequence network, and write the model."),
    "evaluate": ("evaluate", "Measure a run on its held-out patients, or a model on any table."),
    "compare": ("compare", "Put several evaluated models side by side on one page."),
    "ensemble": ("ensemble", "Make several models one, weighed on validation patients; search for the best subset."),
    "papers": ("papers", "Train the classifiers of five papers on one cohort, as one table."),
    "submit": ("submit", "Write the challenge's submission file for images without labels."),
    "export": ("export", "Make a model quick on processors: OpenVINO graphs and one ONNX file in its bundle."),
    "score-study": ("score_study", "Score a head CT: a folder, a zip or files."),
    "explain-scale": ("explain_scale", "Fit the scale on which explain-study draws, and put it beside a model."),
    "explain-study": ("explain_study", "Draw why a head CT has its scores: heat maps per slice and kind of bleed."),
    "check": ("check", "Say whether a head CT can be scored, without scoring it."),
    "inspect": ("inspect", "Say in plain words what a model, a study, a cache, a run or a table is."),
    "codes": ("codes", "List every code that reading answers with, and what to do about each."),
}


class LazyGroup(click.Group):
    """Commands by name, imported on use; faults become one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which one needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"ich_seq.cli.{COMMANDS[cmd_name][0]}")
        return getattr(module, cmd_name.replace("-", "_"))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line a command, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Runs a command; what goes wrong is one line on stderr and the exit code of its error class."""
        extra["standalone_mode"] = False
        if is_process := args is None:
            INTERRUPTS.begin()
        try:
            code = super().main(args, *rest, **extra)
            ranks.leave()
            if is_process:
                INTERRUPTS.no_more(signal.SIG_IGN)  # all is done: too late to interrupt
            sys.exit(code if isinstance(code, int) else 0)
        except (click.Abort, KeyboardInterrupt):
            _interrupted(is_process)
        except Exception as error:  # noqa: BLE001  # what is not answered here is raised again
            if is_process and INTERRUPTS.asked:  # a library made an error of its own of it
                click.echo(err=True)  # as click does for Ctrl-C, whose mark stands on the line
                _interrupted(is_process)
            sys.exit(_said(error))


def _said(error: Exception) -> int:
    """Says in one line what the user can do something about, and returns its exit code; raises what is our own fault."""
    if isinstance(error, click.ClickException):
        error.show()
    elif isinstance(error, IchSeqError):
        click.echo(printable_lines(f"error: {error.message}"), err=True)
    else:
        raise error
    return error.exit_code


def _interrupted(is_process: bool) -> NoReturn:
    if is_process:
        INTERRUPTS.no_more(signal.SIG_DFL)  # a second request ends without a word
    click.echo(SAID, err=True)
    sys.exit(EXIT_CODE)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="ichseq")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Estimate how likely a head CT shows an intracranial haemorrhage, and of which kind.

    Research software, not a medical device. Start with `ichseq demo`, which makes its own data.
    """
    if ranks.world() > 1 and ctx.invoked_subcommand not in TOGETHER:
        raise UsageError(
            f"{ctx.invoked_subcommand}: is one process; torchrun starts {' and '.join(TOGETHER)} only, start this without it"
        )
