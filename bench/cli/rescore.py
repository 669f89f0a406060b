"""`python -m bench rescore`: stored answers, judged anew without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.common import program
from tasks.errors import UsageError

if TYPE_CHECKING:
    from bench.interchange.rescore import RescoredCell


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--scoring",
    metavar="NAME",
    help="What counts as right: task (the rule of the task itself), exact (the whole answer), "
    "contains (as whole words), first-line, or an extractor such as result.  [default: task]",
)
@click.option(
    "--metric",
    metavar="FILE.py:FUNCTION",
    help="A function of yours instead: given an answer and the list of accepted ones, it returns "
    "True or False.",
)
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="NEW_FOLDER",
    help="Results folder to write; new or empty.",
)
def rescore(folder: Path, scoring: str | None, metric: str | None, target: Path) -> None:
    """Judge stored answers anew, without a model, into a new results folder.

    FOLDER is a results folder; it is only read.
    """
    if scoring is not None and metric is not None:
        raise UsageError("--scoring and --metric: give one of them")

    from bench.interchange.rescore import rescore as judge_anew
    from bench.interchange.scorings import AS_STORED, own_scoring, scoring_named

    rule = own_scoring(metric) if metric is not None else scoring_named(scoring or AS_STORED)
    done = judge_anew(folder, target, rule)
    for cell in done.cells:
        click.echo(_line(cell))
    for problem in done.problems:
        click.echo(f"skipped: {problem}", err=True)
    cells = "1 cell" if len(done.cells) == 1 else f"{len(done.cells)} cells"
    click.echo(f"wrote {cells} to {target}; {program()} report --out {target} shows them")


def _line(cell: RescoredCell) -> str:
    from bench.redaction import safe_text

    spec = cell.new.spec
    name = f"{cell.new.cell_id[:12]}  {spec.method} on {spec.task}, {spec.model}, seed {spec.seed}"
    if cell.old.metrics is None or cell.new.metrics is None:
        return safe_text(f"{name}: no answers ({cell.new.status})")
    before, after = (m.reliability for m in (cell.old.metrics, cell.new.metrics))
    told = f"{cell.changed} of {cell.answers} answers judged otherwise, over all contexts"
    if before is None or after is None:
        return safe_text(f"{name}: {told}")
    return safe_text(f"{name}: reliability {before:.1%} -> {after:.1%}, {told}")
