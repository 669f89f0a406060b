"""`python -m bench export`: stored cells in the form of other suites."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.flags import out_option


@click.command()
@click.argument("cells", metavar="[CELL]...", nargs=-1)
@click.option(
    "--format",
    "form",
    type=click.Choice(["peft-method-comparison"]),
    required=True,
    help="peft-method-comparison: one JSON file per cell, as method_comparison/MetaMathQA/results "
    "of huggingface/peft holds them.",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Folder to write to.",
)
@click.option(
    "--placeholder",
    type=int,
    metavar="N",
    help="Write N, such as -1, where a missing number would be null and PEFT's loader needs an "
    "integer.  [default: null]",
)
@out_option
def export(
    cells: tuple[str, ...], form: str, folder: Path, placeholder: int | None, out: Path
) -> None:
    """Export stored cells in the form of another suite.

    CELL is the id of a cell or its first characters; without one, all cells that have a result
    are exported. (export-task writes a task for lm-eval.)
    """
    from bench.interchange.export_results import export_to_peft_suite
    from bench.redaction import safe_text

    done = export_to_peft_suite(out, folder, cells, placeholder)
    files = "1 file" if len(done.files) == 1 else f"{len(done.files)} files"
    click.echo(f"wrote {files} to {folder}, such as {done.files[0].name}")
    if done.left_out:
        left = "1 cell" if done.left_out == 1 else f"{done.left_out} cells"
        click.echo(f"{left} without a result left out")
    if done.gaps:
        names = ", ".join(path.rpartition(".")[2] for path in done.gaps)
        click.echo(
            f"not measured, so null: {names}. PEFT's own loader needs integers there; to let it "
            "read these files, add --placeholder -1"
        )
    for problem in done.problems:
        click.echo(safe_text(f"skipped: {problem}"), err=True)
