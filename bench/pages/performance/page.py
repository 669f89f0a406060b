"""The table as a page, with what it was measured on."""

from __future__ import annotations

from collections.abc import Mapping

from tabulate import tabulate

from bench.pages.performance.cost_curves import Curve
from bench.pages.performance.entries import Row, Training
from bench.pages.performance.machine import Machine, Measured
from bench.progress.base import duration

TITLE = "# Performance: against the usual tools, on one machine"

INTRODUCTION = """\
`nox -s perf` measures both sides in one sequence and checks that they found the same. The other
side is what a user has today, written plainly and well in
[bench/pages/performance/baseline](../bench/pages/performance/baseline/__init__.py):
for each method a fresh process with
transformers and PEFT, a training loop with batches by length, masked padding and logits of all
tokens, PEFT's default adapter dtype, its `preprocess_corda` and `init_lora_weights`, answers by
`generate` in sorted batches, and lm-eval's `simple_evaluate` with `HFLM(batch_size=16)`, before
and after training. What our recipes chose (kept facts, weights, layers) it is given for nothing.
Timings are wall seconds, and the sides take turns. A step is the median of an epoch's steps, and
of five such epochs after one that is not counted; preparations and evaluations are run twice, for
their mean; epochs of the upper half and the grid once. `--quick` has one round of training and
of PiSSA's preparation alone."""

SCALE = """\
Wall seconds over sizes, and the exponent e of seconds ~ size^e that fits the upper two decades;
below them fixed costs show. Facts are those of `fictional`, without a pass of the model: answers
are given, tokens and vectors are the model's own. A report's cells are five seeds of eight methods
on task after task; its plots are left out."""

LIMITS = """\
What a step's matrix products would take at the speed that this machine multiplies large matrices
in the same dtype; 100 % is the physical limit. Both sides are credited with our operations, in
which words that the prompts of a batch begin with are multiplied once, and logits that no loss
looks at never: the other side does more."""

GPU = "Nothing here was measured on a GPU."


def page(measured: Mapping[str, Measured], figure: str = "") -> str:
    """Return the page of what was measured, Markdown; `figure` is the file of the curves."""
    outcomes = [found.outcome for found in measured.values()]
    rows = [row for outcome in outcomes for row in outcome.rows]
    notes = [note for outcome in outcomes for note in outcome.notes]
    curves = [curve for outcome in outcomes for curve in outcome.curves]
    blocks = [TITLE, INTRODUCTION, *_runs(measured)]
    blocks += [table(rows)] if rows else []
    limits = [
        _limit(training, found.machine)
        for found in measured.values()
        for training in found.outcome.trainings
    ]
    if limits:
        blocks += ["## Beside the physical limit", LIMITS, _limit_table(limits)]
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


def _limit(training: Training, machine: Machine) -> list[str]:
    least = training.flops / machine.gemm[training.dtype]
    shown = (f"{training.seconds:.3f}", f"{least:.3f}", f"{least / training.seconds:.0%}")
    return [training.what, *shown]


def _limit_table(limits: list[list[str]]) -> str:
    headers = ["training", "step, s", "its products alone, s", "share"]
    return tabulate(limits, headers=headers, tablefmt="github", disable_numparse=True)


def _runs(measured: Mapping[str, Measured]) -> list[str]:
    """Say on what machine, and with what command, each run of the suite measured its entries."""
    runs: dict[str, list[tuple[str, Measured]]] = {}
    for name, found in measured.items():
        runs.setdefault(f"{found.command} {found.machine}", []).append((name, found))
    machines: dict[str, list[str]] = {}
    for entries in runs.values():
        machine = entries[0][1].machine
        machines.setdefault(_described(machine), []).append(_run(dict(entries)))
    return ["\n".join([machine, *lines]) for machine, lines in machines.items()]


def _run(entries: Mapping[str, Measured]) -> str:
    first = next(iter(entries.values()))
    took = ", ".join(f"{name} {duration(found.seconds)}" for name, found in entries.items())
    gemm = first.machine.gemm
    speeds = ", ".join(f"{speed / 1e9:.0f} GFLOP/s in {d}" for d, speed in gemm.items())
    return f"- `{first.command}`, at commit {first.machine.commit}: {took}; products {speeds}"


def _described(machine: Machine) -> str:
    """Describe a machine but for what varies from run to run."""
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    emulated = [str(dtype) for dtype in machine.gemm if not machine.has_units(dtype)]
    lines = [
        f"- Machine: {machine.processor}, {machine.memory / 2**30:.0f} GiB",
        f"- Versions: {versions}",
    ]
    if emulated:
        left_out = ", ".join(emulated)
        lines.append(f"- Not trained in {left_out}: this machine has no units for it")
    return "\n".join(lines)
