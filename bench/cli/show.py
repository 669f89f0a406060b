"""`python -m bench show`: one stored cell."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.common import terminal
from bench.cli.flags import out_option


@click.command()
@click.argument("cell")
@out_option
def show(cell: str, out: Path) -> None:
    """Show one cell with its answers before and after training.

    CELL is the cell's id or its first characters.
    """
    from bench.report.show import show_cell

    click.echo(show_cell(out, cell, **terminal()))
