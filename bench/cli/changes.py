"""`python -m bench report A B`: what changed between two results folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.common import terminal
from tasks.errors import UsageError


def print_changes(folders: Sequence[Path], to: Path | None, only_of_one: Sequence[str]) -> None:
    """Compare two folders, print what changed, and write it where that is asked for.

    Args:
        folders: A and B; differences are B minus A.
        to: Where to write tables and a page; None for nowhere.
        only_of_one: Options that were given and make sense for one folder only.

    Raises:
        UsageError: There are more folders than two, an option does not go with two, a folder has
            no cells, or files would be written into A.
    """
    if len(folders) > 2:
        raise UsageError(f"{len(folders)} folders: give one to report, or two to compare, A and B")
    if only_of_one:
        raise UsageError(f"{only_of_one[0]} does not go with two folders, which are compared")

    from bench.report.changes.terminal import terminal_changes
    from bench.report.changes.write import compare_folders, refuse_within, write_changes

    a, b = folders
    if to is not None:
        refuse_within(to, a)
    changes = compare_folders(a, b)
    click.echo(terminal_changes(changes, **terminal()).rstrip())
    if to is None:
        click.echo("write tables and a page of this with --to FOLDER")
        return
    files = write_changes(changes, to)
    click.echo(f"{files.markdown} (and .html, .csv), {files.answers}")
