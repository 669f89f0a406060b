"""`python -m bench export-task`: the forget part of a task as files for lm-eval."""

from __future__ import annotations

from pathlib import Path

import click

from bench.config.options import RunOptions


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
    """Export the forget part of a task as files for lm-eval."""
    from bench.forgetting.export import export_task as export

    click.echo(export(task, folder, data_dir))
