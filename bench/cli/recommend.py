"""`python -m bench recommend`: which method to use, from the stored cells."""

from __future__ import annotations

from pathlib import Path

import click

from bench.config.options import RunOptions


@click.command()
@click.option(
    "--budget-memory",
    metavar="AMOUNT",
    help="The most memory any phase may need, such as 8GiB.",
)
@click.option(
    "--max-forgetting",
    metavar="SHARE",
    help="The largest share that may be lost on any forgetting task, such as 0.02.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=RunOptions.model_fields["out"].default,
    show_default=True,
    metavar="FOLDER",
    help="Results folder.",
)
def recommend(budget_memory: str | None, max_forgetting: str | None, out: Path) -> None:
    """Say which method to use, and why, in three lines."""
    from bench.report.amounts import parse_memory, parse_share

    memory = None if budget_memory is None else parse_memory(budget_memory, "--budget-memory")
    share = None if max_forgetting is None else parse_share(max_forgetting, "--max-forgetting")

    from bench.redaction import safe_text
    from bench.report.leaderboard.load import load_leaderboard
    from bench.report.recommend import Limits, recommendations

    board = load_leaderboard(out)
    for line in recommendations(board, Limits(memory, share)):
        click.echo(safe_text(line))
    for problem in board.problems:
        click.echo(safe_text(f"not counted: {problem}"), err=True)
