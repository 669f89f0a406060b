"""`python -m bench findings`: the page of findings, from committed results."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("results/findings"),
    show_default=True,
    metavar="FOLDER",
    help="Folder of findings: cells, studies and grids.",
)
@click.option(
    "--docs",
    type=click.Path(path_type=Path),
    default=Path("docs"),
    show_default=True,
    metavar="FOLDER",
    help="Where findings.md and its pictures go; the README beside it gets its block.",
)
def findings(out: Path, docs: Path) -> None:
    """Answer seven questions from stored results; write the page."""
    from bench.findings.tables import summary_lines
    from bench.findings.write import write_findings

    files = write_findings(out, docs)
    for line in summary_lines(files.answers):
        click.echo(line)
    click.echo(f"{files.page} and {len(files.pictures)} pictures")
