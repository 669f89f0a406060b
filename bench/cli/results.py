"""The commands that read a results folder, or write a task for lm-eval."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.common import terminal
from bench.config.options import RunOptions

_out = click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=RunOptions.model_fields["out"].default,
    show_default=True,
    metavar="FOLDER",
    help="Results folder.",
)


@click.command()
@_out
@click.option(
    "--reference",
    metavar="METHOD",
    help="The method that others are compared with.  [default: lora, where it is present]",
)
@click.option(
    "--plots",
    default="auto",
    show_default=True,
    metavar="WHICH",
    help="auto: all of up to 12 tasks and models, beyond that none; all; none; or a part of a "
    "title, such as 'smollm2-135m on countries'.",
)
def report(out: Path, reference: str | None, plots: str) -> None:
    """Write tables and plots again from the stored cells."""
    print_report(out, reference, plots)


@click.command()
@click.argument("cell")
@_out
def show(cell: str, out: Path) -> None:
    """Print one cell with answers before and after.

    CELL is its id or the start of it.
    """
    from bench.report.show import show_cell

    click.echo(show_cell(out, cell, **terminal()))


@click.command(name="export-task")
@click.argument("task")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help=RunOptions.model_fields["data_dir"].description,
)
def export_task(task: str, folder: Path, data_dir: Path | None) -> None:
    """Write a task's forget part as files that lm-eval reads."""
    from bench.forgetting.export import export_task as export

    click.echo(export(task, folder, data_dir))


def print_report(out: Path, reference: str | None, plots: str = "auto") -> None:
    """Write the report, print its table and where its files are."""
    from bench.report.parallel import report_processes

    with report_processes(out) as processes:  # started before this one imports what takes long
        from bench.report.tables.terminal import terminal_table
        from bench.report.write import write_report

        files = write_report(out, reference, plots, processes)
    click.echo(terminal_table(files.board, **terminal()).rstrip())
    click.echo(f"{files.markdown} (and .csv, .html), {len(files.plots)} plots in {out / 'plots'}")
    if files.left_out:
        click.echo(files.left_out)
