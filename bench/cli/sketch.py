"""What `plan` prints by the sizes that a grid file assumes."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.cli.listing import print_rows
from bench.planning.cost_estimate import GPU_FLOPS
from bench.planning.sketch import Sketch, SketchedRow
from bench.progress.base import duration

_COLUMNS = ("method", "model", "to prepare", "to train", "to evaluate", "one card of 80 GB")


def print_sketch(
    found: Sketch, config: Path | None, reason: str, console: Console | None = None
) -> None:
    """Print what a grid takes by assumed sizes, and what was not checked.

    Args:
        found: The grid.
        config: The file that assumes the sizes.
        reason: Why nothing better is known.
        console: Where to print; the terminal by default.
    """
    console = console or Console()
    count = f"{found.cells} {'cell' if found.cells == 1 else 'cells'}"
    if found.cells != found.whole:  # of a shard
        count = f"about {found.cells} of {found.whole} cells"
    print_rows(console, f"{count}, in GiB", _COLUMNS, [_line(row) for row in found.rows])
    lines = [
        f"{task.name}: {task.rows:,} rows, {task.epochs} "
        f"{'epoch' if task.epochs == 1 else 'epochs'}, {task.steps:,} optimizer steps"
        for task in found.tasks
    ]
    lines.append(_time(found))
    lines += [
        f"{row.method} on {row.model} takes more than one card of 80 GB: "
        + (
            f"--device-map auto divides it over {row.cards}"
            if row.divides
            else "use a smaller model or a larger card"
        )
        for row in found.rows
        if not row.fits
    ]
    lines += [
        f"planned by the sizes in {config}, since nothing could be looked up: {reason}",
        f"not checked: {found.unchecked}",
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _time(found: Sketch) -> str:
    counted = f"{found.flop / 1e15:,.3g} PFLOP of training, counted"
    if found.seconds is None:
        return f"{counted}; how long that takes is known for short rows alone"
    speed = f"{GPU_FLOPS / 1e12:.0f} TFLOP/s"
    return (
        f"about {duration(found.seconds)} on one GPU, a rough estimate from the model's size: "
        f"{counted}, at {speed}, and an estimate of what is asked and measured"
    )


def _line(row: SketchedRow) -> tuple[str, ...]:
    amounts = (f"{size / 2**30:.0f}" for size in row.need)
    return (row.method, row.model, *amounts, "fits" if row.fits else "too small")
