"""`ichseq cache-tiles`: every slice of a table windowed and shrunk once, for the training of stage one."""

from pathlib import Path

import click

from ich_seq.cli import options
from ich_seq.cli.terminal import printable


@click.command("cache-tiles")
@options.table
@options.config
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the tiles; may be begun."
)
@options.root
@options.processes
@options.quiet
def cache_tiles(table_path: Path, config_name: str, out: Path, root: Path | None, jobs: int, quiet: bool) -> None:
    """Window every slice of a table once, so that training need not read the images.

    The tiles have the config's windows and size, 8 bits a channel. Interrupted, it continues when the same command is run again;
    a larger table adds what is new. Train with `ichseq train-cnn --tiles OUT`.
    """
    from ich_seq.cli.progress import counting
    from ich_seq.cli.steps import image_folder
    from ich_seq.config import load_config
    from ich_seq.manifest.table import read_table

    config = load_config(config_name)
    table = read_table(table_path)
    base = image_folder(table, root)
    from ich_seq.slices.tile_fill import fill_cache  # torch: not before all else is seen to be right

    with counting("tiles", "slices", quiet=quiet) as on_slice:
        report = fill_cache(table, base, out, config.preprocess, jobs, on_slice)
    if not quiet:
        size, held = report.cache.size_bytes, len(report.cache.slices)
        click.echo(
            f"{held:,} slices at {report.cache.form}: {size / 1e9:.3g} GB, {size / held:,.0f} bytes a slice "
            f"({report.written:,} made now, {report.already_there:,} there already; {len(report.unreadable)} cannot be read). "
            f"Next: ichseq train-cnn --tiles {out}"
        )
    for line in report.unreadable:
        click.echo(printable(f"left out: {line}"), err=True)
