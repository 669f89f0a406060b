"""`python -m bench.pages.performance [--quick | --full] [--only NAME]`: measure both sides."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from bench.config.types import DType
from bench.libraries import quiet_libraries
from tasks.errors import UsageError

NAMES = (
    "steps",
    "freeze",
    "corda",
    "pissa",
    "evaluation",
    "grid",
    "grid-small",
    "stacked",
    "scale",
)
ON_CPU_ALONE = ("scale",)
"""Entries about files, facts and matrices, in which a GPU has no part."""

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
    "--device",
    default="cpu",
    show_default=True,
    help="Where both sides compute: cpu, cuda or cuda:N.",
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
    device: str,
    out: Path | None,
) -> None:
    """Measure speed against the usual tools, and check that both find the same numbers."""
    quiet_libraries()
    from bench.models.device import choose_compute
    from bench.pages.performance.entries import FULL, QUICK, Bench
    from bench.pages.performance.machine import this_machine
    from bench.pages.performance.suite import run_suite

    if out is None and full:
        out = PAGE
    command = " ".join(["nox -s perf --", *sys.argv[1:]])
    size = FULL if full else QUICK
    with tempfile.TemporaryDirectory() as scratch:
        try:
            compute = choose_compute(device, DType.AUTO)
            names = _entries(only or size.entries, compute.device)
            machine = this_machine(compute.device)
            fast = tuple(name for name in size.dtypes if machine.has_units(name))
            # What a run would choose on this device comes first.
            dtypes = tuple(map(DType, dtype)) or tuple(dict.fromkeys((compute.dtype, *fast)))
            bench = Bench(model, task, size, dtypes, Path(scratch), compute.device)
            agreed = run_suite(bench, names, command, machine, out)
        except UsageError as error:
            raise click.UsageError(str(error)) from None
    sys.exit(0 if agreed else 1)


def _entries(named: Sequence[str], device: str) -> Sequence[str]:
    """Return the entries to run; without names all that the device can measure.

    Raises:
        UsageError: The device is neither a CPU nor a GPU of CUDA, or a GPU has no part in one of
            the entries that are named.
    """
    if not device.startswith(("cpu", "cuda")):
        raise UsageError(f"--device {device} is not measured: give cpu, cuda or cuda:N")
    if device == "cpu":
        return named or NAMES
    if alone := [name for name in named if name in ON_CPU_ALONE]:
        raise UsageError(f"--only {alone[0]} is measured on a CPU: leave out --device {device}")
    return named or [name for name in NAMES if name not in ON_CPU_ALONE]


if __name__ == "__main__":
    main()
