"""The performance page: the table, and what it was measured on."""

from __future__ import annotations

from collections.abc import Mapping

from tabulate import tabulate

from bench.pages.performance.cost_curves import Curve
from bench.pages.performance.entries import Row, Training
from bench.pages.performance.machine import Kept, Machine, Measured
from bench.progress.base import duration

TITLE = "# Performance beside the usual tools"

INTRODUCTION = """\
`nox -s perf` times this benchmark and a baseline in turn, on the same machine, and checks that both
find the same numbers. With `--device cuda` both compute on its GPU. The
[baseline](../bench/pages/performance/baseline/__init__.py) is what a user would write today, well
and plainly:

- a fresh process for each method, with transformers and PEFT;
- a training loop with batches sorted by length, masked padding and logits of all tokens;
- PEFT's default adapter dtype, its `preprocess_corda` and its `init_lora_weights`;
- answers by `generate` in sorted batches, and forgetting by lm-eval's `simple_evaluate` with
  `HFLM`, before and after training, in batches of 16 (on a GPU of 128);
- drift on the base's own texts after each epoch, with the base's log-probabilities in memory.

The baseline is asked what a cell is asked, and is given what recipes choose (facts, weights,
layers) without having to compute it. It does not sample what the base knows, as a cell does.

Times are wall seconds; those of steps on a GPU are read off CUDA events. The time of a step is the
median of an epoch's steps, and then the median of five such epochs after one that does not count.
Preparation and evaluation are run twice and averaged; on a GPU they run once more before that.
Grids, and the epochs that train some layers, are run once. `--quick` measures only training and
PiSSA's preparation, once each."""

SCALE = """\
Wall seconds by size, and the exponent e of seconds ~ size^e fitted over the upper two decades;
below them fixed costs dominate. Facts are those of `fictional`, with the model's tokens and vectors
but without a pass of the model. A report is the whole command, from its start to the last file: it
reads five seeds of eight methods on as many tasks as needed. Its plots are left out."""

LIMITS = """\
How long the matrix products of a step would take at the speed at which the same device multiplies
large matrices in the same dtype; 100% is the physical limit. Both sides are credited with the
operations that we need. The baseline computes more: it repeats the tokens that prompts of a batch
share, and computes logits that no loss uses."""

NO_GPU = (
    "Nothing here was measured on a GPU: none was at hand. `nox -s perf -- --full --device cuda` "
    "fills in its columns."
)

DEVICES = {"cpu": "CPU", "cuda": "GPU"}
"""The kinds of device that stand side by side, as the page calls them."""


def page(measured: Kept, figure: str = "") -> str:
    """Return the page as Markdown.

    Args:
        measured: The measurements, by the kind of device and by entry.
        figure: The file of the cost curves' picture; empty leaves it out.
    """
    by_device = {device: measured.get(device, {}) for device in DEVICES}
    rows = {
        device: [row for one in found.values() for row in one.outcome.rows]
        for device, found in by_device.items()
    }
    every = [one for found in by_device.values() for one in found.values()]
    curves = [curve for one in every for curve in one.outcome.curves]
    notes = [
        f"{DEVICES[device]}. {note}" if by_device["cuda"] else note
        for device, found in by_device.items()
        for one in found.values()
        for note in one.outcome.notes
    ]
    limits = [_limit(training, one.machine) for one in every for training in one.outcome.trainings]
    blocks = [TITLE, INTRODUCTION, *(_runs(found) for found in by_device.values() if found)]
    blocks += [] if by_device["cuda"] else [NO_GPU]
    blocks += [side_by_side(rows)] if any(rows.values()) else []
    if limits:
        blocks += ["## How close to the physical limit", LIMITS, _limit_table(limits)]
    if curves:
        blocks += ["## How cost grows", SCALE, curve_table(curves)]
        blocks += [f"![Seconds by size, both axes logarithmic]({figure})"] if figure else []
    if notes:
        blocks += ["## Notes", "\n".join(f"- {note}" for note in notes)]
    return "\n\n".join(blocks) + "\n"


HEADERS = ("baseline (s)", "ours (s)", "speed-up", "target", "", "same numbers")


def table(rows: list[Row], form: str = "github") -> str:
    """Return the times and speed-ups of one device as a table."""
    cells = [[row.what, *_cells(row)] for row in rows]
    return tabulate(cells, headers=["", *HEADERS], tablefmt=form, disable_numparse=True)


def side_by_side(rows: Mapping[str, list[Row]]) -> str:
    """Return the times and speed-ups of every kind of device, those of one thing in one line."""
    places = {device: {row.what: row for row in found} for device, found in rows.items()}
    headers, columns = [""], [[*dict.fromkeys(what for found in places.values() for what in found)]]
    for device, found in places.items():
        told = [_cells(found[what]) if what in found else ["-"] * 6 for what in columns[0]]
        if not found:
            told = [["not measured"] for _ in columns[0]]
        names = HEADERS if found else ("",)
        headers += [f"{DEVICES[device]}: {name}".removesuffix(": ") for name in names]
        columns += [list(column) for column in zip(*told, strict=True)]
    lines = list(zip(*columns, strict=True))
    return tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True)


def _cells(row: Row) -> list[str]:
    return [
        f"{row.usual:.3g}",
        f"{row.ours:.3g}",
        f"{row.ratio:.2f}x",
        "" if row.target is None else f"{row.target:.2f}x",
        _verdict(row),
        row.same,
    ]


def curve_table(curves: list[Curve], form: str = "github") -> str:
    """Return the time of each size, the fitted exponent and the expected one."""
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
    headers = ["", "grows with", "seconds by size", "exponent", "expected at most"]
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
    return [f"{DEVICES[machine.device]}, {training.what}", *shown]


def _limit_table(limits: list[list[str]]) -> str:
    headers = ["training", "step (s)", "its matrix products alone (s)", "share"]
    return tabulate(limits, headers=headers, tablefmt="github", disable_numparse=True)


def _runs(measured: Mapping[str, Measured]) -> str:
    """Say on which machine and with which command each entry of a device was measured."""
    runs: dict[str, list[tuple[str, Measured]]] = {}
    for name, found in measured.items():
        runs.setdefault(f"{found.command} {found.machine}", []).append((name, found))
    machines: dict[str, list[str]] = {}
    for entries in runs.values():
        machine = entries[0][1].machine
        machines.setdefault(_described(machine), []).append(_run(dict(entries)))
    return "\n\n".join("\n".join([machine, *lines]) for machine, lines in machines.items())


def _run(entries: Mapping[str, Measured]) -> str:
    first = next(iter(entries.values()))
    took = ", ".join(f"{name} {duration(found.seconds)}" for name, found in entries.items())
    gemm = first.machine.gemm
    speeds = ", ".join(f"{speed / 1e9:.0f} GFLOP/s in {d}" for d, speed in gemm.items())
    return f"- `{first.command}`, at commit {first.machine.commit}: {took}; products {speeds}"


def _described(machine: Machine) -> str:
    """Describe a machine, without what varies from run to run."""
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    emulated = [str(dtype) for dtype in machine.gemm if not machine.has_units(dtype)]
    lines = [
        f"- {DEVICES[machine.device]}: {machine.processor}, {machine.memory / 2**30:.0f} GiB",
        f"- Versions: {versions}",
    ]
    if emulated:
        left_out = ", ".join(emulated)
        lines.append(f"- Not trained in {left_out}: this machine has no hardware units for it")
    return "\n".join(lines)
