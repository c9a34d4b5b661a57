"""The flags that mean the same in every command."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ich_seq.dicom import ReadOptions
from ich_seq.training import ranks

run = click.option(
    "--run",
    "run_folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the run: config, weights, embeddings, metrics, model.",
)
table = click.option(
    "--table",
    "table_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Table of slices that `ichseq index` wrote.",
)
root = click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the images; by default the one that was indexed.",
)
training_tables = click.option(
    "--training-table",
    "training_tables",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With models: the table that a model was trained with, to see that no patient taught it; of an ensemble perhaps several.  "
    "[default: the one beside the model in its run]",
)
config = click.option(
    "--config", "config_name", required=True, help="Name of a shipped config or path of a .toml file."
)
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
runtime = click.option(
    "--runtime",
    type=click.Choice(["auto", "openvino", "torch"]),
    default="auto",
    show_default=True,
    help="What computes; auto takes the fastest that this machine has: a GPU with torch, else OpenVINO where the model was exported.",
)
precision = click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "int8"]),
    default="auto",
    show_default=True,
    help="Of stage one's network. auto: with OpenVINO int8 where the model has it, else bf16 where the processor does; with torch "
    "bf16 on a GPU that has it, and fp32, the reference, on a processor (`ichseq export` is the fast way there).",
)
jobs = click.option(
    "--jobs", type=click.IntRange(min=0), default=0, show_default="all cores", help="Threads to compute with."
)
processes = click.option(
    "--jobs", type=click.IntRange(min=0), default=0, show_default="all cores", help="Processes that read."
)


def _quiet_or_not_first(_ctx: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    return value or ranks.rank() > 0


quiet = click.option(
    "--quiet",
    is_flag=True,
    callback=_quiet_or_not_first,
    help="No progress, no summary; faults are still said.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON and nothing else.")

_READING = (
    click.option("--strict", is_flag=True, help="Refuse what would be read with a warning."),
    click.option("--allow-incomplete", is_flag=True, help="Use a series although too many slices are missing."),
    click.option("--allow-sc", is_flag=True, help="Read secondary captures that state a rescale as CT."),
    click.option("--assume-one-series", is_flag=True, help="Take files without SeriesInstanceUID as one series."),
    click.option(
        "--trust-instance-number", is_flag=True, help="Order slices by InstanceNumber where no position is known."
    ),
    click.option(
        "--temporal",
        type=click.Choice(["first"]),
        help="Of several time points (perfusion), the one to take.",
    ),
    click.option(
        "--assume-intercept",
        "assumed_intercept_hu",
        type=click.FloatRange(-32768, 32768),
        metavar="HU",
        help="Intercept of a series that states no rescale, for example -1024.",
    ),
)


def reading(command: Callable[..., None]) -> Callable[..., None]:
    """What the user lets pass or forbids; the command gets it as `reading`, a ReadOptions."""

    @functools.wraps(command)
    def with_reading(**given: Any) -> None:
        options = ReadOptions(
            allow_incomplete=given.pop("allow_incomplete"),
            strict=given.pop("strict"),
            allow_sc=given.pop("allow_sc"),
            assume_one_series=given.pop("assume_one_series"),
            trust_instance_number=given.pop("trust_instance_number"),
            first_time_point=given.pop("temporal") == "first",
            assumed_intercept_hu=given.pop("assumed_intercept_hu"),
        )
        command(reading=options, **given)

    wrapped: Callable[..., None] = with_reading
    for option in reversed(_READING):
        wrapped = option(wrapped)
    return wrapped
