"""The table as a page, with what it was measured on."""

from __future__ import annotations

from collections.abc import Mapping

from tabulate import tabulate

from bench.perf.curves import Curve
from bench.perf.entries import Outcome, Row, Training
from bench.perf.machine import Machine

TITLE = "# Performance: against the usual tools, on one machine"

INTRODUCTION = """\
`nox -s perf` measures both sides in one sequence and checks that they found the same. The other
side is what a user has today, written plainly and well in
[bench/perf/usual](../bench/perf/usual/__init__.py): for each method a fresh process with
transformers and PEFT, a training loop with batches by length, masked padding and logits of all
tokens, PEFT's default adapter dtype, its `preprocess_corda` and `init_lora_weights`, answers by
`generate` in sorted batches, and lm-eval's `simple_evaluate` with `HFLM(batch_size=16)`, before
and after training. What our recipes chose (kept facts, weights, layers) it is given for nothing.
Timings are wall seconds, medians over repeats in which the sides take turns after one round that
is not counted; the grid is run once. `--quick` has one round of training and preparation alone."""

SCALE = """\
Wall seconds over sizes, and the exponent e of seconds ~ size^e that fits the upper two decades;
below them fixed costs show. Facts are those of `fictional`, without a pass of the model: answers
are given, tokens and vectors are the model's own. A report's cells are five seeds of eight methods
on task after task; its plots are left out."""

GPU = "Nothing here was measured on a GPU."


def page(command: str, machine: Machine, outcomes: Mapping[str, Outcome], figure: str = "") -> str:
    """Return the page of a run of the suite, Markdown; `figure` is the file of the curves."""
    rows = [row for outcome in outcomes.values() for row in outcome.rows]
    trainings = [training for outcome in outcomes.values() for training in outcome.trainings]
    notes = [note for outcome in outcomes.values() for note in outcome.notes]
    curves = [curve for outcome in outcomes.values() for curve in outcome.curves]
    blocks = [TITLE, INTRODUCTION, _measured_on(command, machine)]
    blocks += [table(rows)] if rows else []
    if trainings:
        blocks += ["## Beside the physical limit", _limits(trainings, machine)]
    if curves:
        blocks += ["## As work grows", SCALE, curve_table(curves)]
        blocks += [f"![Seconds over sizes, both logarithmic]({figure})"] if figure else []
    if notes:
        blocks += ["## Notes", "\n".join(f"- {note}" for note in notes)]
    return "\n\n".join([*blocks, GPU]) + "\n"


def table(rows: list[Row], form: str = "github") -> str:
    """Return the ratios as a table."""
    cells = [
        [
            row.what,
            f"{row.usual:.3g}",
            f"{row.ours:.3g}",
            f"{row.ratio:.2f}",
            "" if row.target is None else f"{row.target:.2f}",
            _verdict(row),
            row.same,
        ]
        for row in rows
    ]
    headers = ["", "usual, s", "ours, s", "ratio", "asked", "", "same numbers"]
    return tabulate(cells, headers=headers, tablefmt=form, disable_numparse=True)


def curve_table(curves: list[Curve], form: str = "github") -> str:
    """Return what each size took, and the exponent beside the expected one."""
    cells = [
        [
            curve.what,
            curve.axis,
            ", ".join(f"{point.size:,}: {point.seconds:.2g} s" for point in curve.points),
            "" if curve.exponent is None else f"{curve.exponent:.2f}",
            f"{curve.expected:.0f}",
        ]
        for curve in curves
    ]
    headers = ["", "over", "seconds by size", "exponent", "expected at most"]
    return tabulate(cells, headers=headers, tablefmt=form, disable_numparse=True)


def _verdict(row: Row) -> str:
    if not row.agreed:
        return "numbers differ"
    if row.target is None:
        return ""
    return "reached" if row.reached else "not reached"


def _limits(trainings: list[Training], machine: Machine) -> str:
    cells = []
    for training in trainings:
        least = training.flops / machine.gemm[training.dtype]
        cells.append(
            [
                training.what,
                f"{training.seconds:.3f}",
                f"{least:.3f}",
                f"{least / training.seconds:.0%}",
            ]
        )
    headers = ["training", "step, s", "its products alone, s", "share"]
    note = (
        "What a step's matrix products would take at the speed that this machine multiplies "
        "large matrices in the same dtype; 100 % is the physical limit. The other side is credited "
        "with our operations: logits of tokens that no loss looks at are not needed."
    )
    return f"{note}\n\n{tabulate(cells, headers=headers, tablefmt='github', disable_numparse=True)}"


def _measured_on(command: str, machine: Machine) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    speeds = ", ".join(f"{speed / 1e9:.0f} GFLOP/s in {d}" for d, speed in machine.gemm.items())
    return "\n".join(
        [
            f"- Command: `{command}`, at commit {machine.commit}",
            f"- Machine: {machine.processor}, {machine.memory / 2**30:.0f} GiB",
            f"- Matrix products: {speeds}",
            f"- Versions: {versions}",
        ]
    )
