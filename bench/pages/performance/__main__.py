"""`python -m bench.pages.performance [--quick | --full] [--only NAME]`: measure both sides."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from bench.config.types import DType
from bench.libraries import quiet_libraries
from tasks.errors import UsageError

NAMES = ("steps", "freeze", "corda", "pissa", "evaluation", "grid", "scale")
DTYPES = ("float32", "bfloat16")
PAGE = Path("docs/performance.md")


@click.command()
@click.option(
    "--full/--quick",
    default=False,
    help="--full: 64 facts, 10 epochs, hours. --quick: two minutes.",
)
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(NAMES),
    help="Measure only this entry; may be repeated.",
)
@click.option("--model", default="smollm2-135m", show_default=True, help="Model name or folder.")
@click.option(
    "--task", default="countries", show_default=True, help="Knowledge task or facts file."
)
@click.option(
    "--dtype",
    multiple=True,
    type=click.Choice(DTYPES),
    help="Number format of the base; default float32, with --full every fast one.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help=f"File to write the page to; with --full {PAGE}."
)
def main(
    full: bool,
    only: tuple[str, ...],
    model: str,
    task: str,
    dtype: tuple[str, ...],
    out: Path | None,
) -> None:
    """Measure speed against the usual tools, and check that both find the same numbers."""
    quiet_libraries()
    from bench.pages.performance.entries import FULL, QUICK, Bench
    from bench.pages.performance.machine import this_machine
    from bench.pages.performance.suite import run_suite

    if out is None and full:
        out = PAGE
    command = " ".join(["nox -s perf --", *sys.argv[1:]])
    size, machine = FULL if full else QUICK, this_machine()
    named = tuple(map(DType, dtype))
    dtypes = named or tuple(name for name in size.dtypes if machine.has_units(name))
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(model, task, size, dtypes, Path(scratch))
        try:
            agreed = run_suite(bench, only or size.entries or NAMES, command, machine, out)
        except UsageError as error:
            raise click.UsageError(str(error)) from None
    sys.exit(0 if agreed else 1)


if __name__ == "__main__":
    main()
