"""`python -m bench report`: tables and plots of a results folder, or what changed between two."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from bench.cli.changes import print_changes
from bench.cli.common import terminal
from bench.cli.flags import out_option
from bench.redaction import safe_text
from tasks.errors import UsageError


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER | A B]", type=click.Path(path_type=Path))
@out_option
@click.option(
    "--reference",
    metavar="METHOD",
    help="Method that the others are compared with.  [default: lora, if present]",
)
@click.option(
    "--plots",
    default="auto",
    show_default=True,
    metavar="WHICH",
    help="Plots to draw: auto (all for up to 12 pairs of model and task, else none), all, none, "
    "or part of a title, such as 'smollm2-135m on countries'.",
)
@click.option(
    "--with",
    "beside",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Show results of PEFT's method comparison, too, in a table of their own.",
)
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where to write what changed from A to B; without it, it is only printed.",
)
@click.pass_context
def report(
    context: click.Context,
    folders: tuple[Path, ...],
    out: Path,
    reference: str | None,
    plots: str,
    beside: Path | None,
    to: Path | None,
) -> None:
    """Rebuild tables and plots from the stored cells, or compare two folders.

    With one folder, or --out, its report is written into it. With two, A and B, both are only
    read: cells of both are paired, and differences are B minus A.
    """
    given = context.get_parameter_source
    typed = [
        f"--{n.replace('beside', 'with')}"
        for n in ("out", "reference", "plots", "beside")
        if given(n) is ParameterSource.COMMANDLINE
    ]
    if len(folders) > 1:
        print_changes(folders, to, typed)
        return
    if to is not None:
        raise UsageError(f"--to '{to}' is for what changed between two folders: give A and B")
    if folders and "--out" in typed:
        raise UsageError(f"'{folders[0]}' and --out '{out}': give one of them")
    print_report(folders[0] if folders else out, reference, plots, beside)


def print_report(
    out: Path, reference: str | None, plots: str = "auto", beside: Path | None = None
) -> None:
    """Write the report; print its table and the paths of its files.

    Args:
        out: The results folder.
        reference: The method that the others are compared with; None: lora, if present.
        plots: The value of `--plots`.
        beside: The value of `--with`.
    """
    from bench.report.parallel import report_processes

    with report_processes(out) as processes:  # started before this one imports what takes long
        from bench.report.tables.terminal import terminal_table
        from bench.report.write import write_report

        files = write_report(out, reference, plots, processes, beside)
    click.echo(terminal_table(files.board, **terminal()).rstrip())
    click.echo(f"{files.markdown} (and .csv, .html), {len(files.plots)} plots in {out / 'plots'}")
    if files.board.beside is not None:
        count = len(files.board.beside.rows)
        results = "1 result" if count == 1 else f"{count} results"
        click.echo(f"{results} of {beside} in a table of their own, below ours")
    if files.left_out:
        click.echo(files.left_out)
    for problem in files.problems:
        click.echo(safe_text(f"skipped: {problem}"), err=True)
