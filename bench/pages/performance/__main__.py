"""`python -m bench.pages.performance [--quick | --full] [--only NAME]`: both sides, one page."""

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
    "--full/--quick", default=False, help="64 facts and 10 epochs, in hours; or two minutes."
)
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="Some entries alone.")
@click.option("--model", default="smollm2-135m", show_default=True, help="Name or folder.")
@click.option("--task", default="countries", show_default=True, help="Facts to learn.")
@click.option(
    "--dtype",
    multiple=True,
    type=click.Choice(DTYPES),
    help="Of bases; with --full all that this machine multiplies fast, else float32.",
)
@click.option("--out", type=click.Path(path_type=Path), help=f"The page; with --full {PAGE}.")
def main(
    full: bool,
    only: tuple[str, ...],
    model: str,
    task: str,
    dtype: tuple[str, ...],
    out: Path | None,
) -> None:
    """Measure how much sooner than the usual tools we are, and that both find the same."""
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
