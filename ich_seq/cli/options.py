"""The flags that mean the same in every command."""

from pathlib import Path

import click

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
config = click.option(
    "--config", "config_name", required=True, help="Name of a shipped config or path of a .toml file."
)
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
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
