"""`python -m bench compare`: two sample files of lm-eval, paired document by document."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.common import terminal
from tasks.errors import UsageError


@click.command()
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="B", type=click.Path(path_type=Path))
@click.option(
    "--by",
    type=click.Choice(["doc_hash", "doc_id"]),
    default="doc_hash",
    show_default=True,
    help="What makes two samples the same document: what it holds, or its place in the data set.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Metric to compare; may be given several times.  [default: all]",
)
@click.option(
    "--show",
    "shown",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Show up to N documents of each comparison whose scores differ.",
)
@click.option(
    "--csv",
    "table",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the numbers to a file, too.",
)
def compare(
    first: Path, second: Path, by: str, metrics: tuple[str, ...], shown: int, table: Path | None
) -> None:
    """Compare two runs of lm-eval, paired document by document.

    A and B are sample files that lm-eval writes with --log_samples, or folders of them.
    Differences are B minus A.
    """
    from bench.interchange.compare_samples import compare_samples
    from bench.interchange.compared_text import comparison_csv, comparison_text
    from bench.interchange.sample_pairs import PairBy

    found = compare_samples(first, second, PairBy(by), metrics)
    if table is not None:
        try:
            table.write_text(comparison_csv(found), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write '{table}': {error.strerror}") from error
    click.echo(comparison_text(found, shown, **terminal()).rstrip())
