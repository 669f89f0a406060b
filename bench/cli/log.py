"""`python -m bench log`: stored cells as runs of experiment trackers."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.common import DONE, FAILED
from bench.config.options import RunOptions
from bench.config.types import pieces
from bench.redaction import safe_text
from bench.trackers.registry import destinations
from tasks.errors import UsageError


@click.command()
@click.argument(
    "results",
    metavar="[RESULTS]",
    type=click.Path(path_type=Path),
    default=RunOptions.model_fields["out"].default,
)
@click.option(
    "--to",
    multiple=True,
    required=True,
    metavar="TRACKER[:TARGET]",
    help="Where to log: tensorboard[:FOLDER], wandb[:PROJECT], mlflow[:URI] or trackio[:PROJECT]; "
    "several are separated by commas.",
)
def log(results: Path, to: tuple[str, ...]) -> int:
    """Log stored cells as runs of experiment trackers.

    RESULTS is a results folder, by default results. Cells that a tracker already holds are not
    logged again.
    """
    wanted = destinations(pieces(to), "--to")
    if not wanted:
        raise UsageError("--to is empty: name a tracker, as in --to tensorboard")
    from bench.report.leaderboard.load import stored_records
    from bench.store.store import ResultsStore
    from bench.trackers.log import tracker_log

    found = stored_records(results)
    with tracker_log(wanted, ResultsStore(results), _note) as opened:
        opened.log(record.cell_id for record in found.records)
        for line in opened.told:
            click.echo(line)
    for problem in found.problems:
        _note(f"skipped: {problem}")
    return FAILED if opened.failed else DONE


def _note(line: str) -> None:
    click.echo(safe_text(line), err=True)
