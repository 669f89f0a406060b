"""`python -m bench.pages.findings`: the page of findings, from the cells of a folder."""

from __future__ import annotations

from pathlib import Path

import click

from bench.pages.findings.questions import QUESTIONS
from bench.pages.findings.write import write_findings
from tasks.errors import UsageError


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/findings"))
@click.option("--docs", type=click.Path(path_type=Path), default=Path("docs"))
def main(out: Path, docs: Path) -> None:
    """Answer the questions from the cells in OUT; write DOCS/findings.md and its pictures."""
    try:
        files = write_findings(out, docs, QUESTIONS)
    except UsageError as error:
        raise click.UsageError(str(error)) from error
    for problem in files.problems:
        click.echo(f"warning: {problem}", err=True)
    for answer in files.answers:
        click.echo(f"{answer.question.asks} {answer.verdict}")
    click.echo(f"{files.page} and {len(files.pictures)} pictures")


if __name__ == "__main__":
    main()
