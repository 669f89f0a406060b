"""`python -m bench show`: one stored cell in words."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.common import terminal
from bench.cli.flags import out_option


@click.command()
@click.argument("cell")
@out_option
def show(cell: str, out: Path) -> None:
    """Print one cell with answers before and after.

    CELL is its id or the start of it.
    """
    from bench.report.show import show_cell

    click.echo(show_cell(out, cell, **terminal()))
