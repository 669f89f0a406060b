"""Cost as work grows: facts, cells, layers and width, each as a curve with its exponent."""

from __future__ import annotations

import json
import subprocess
import sys

from bench.models.loading import load_base
from bench.pages.performance.curves import Curve, Point
from bench.pages.performance.entries import Bench, Outcome
from bench.pages.performance.jobs import options_for, plan_cell
from bench.pages.performance.scale_cells import cell_curves
from bench.pages.performance.scale_facts import FactCosts
from bench.pages.performance.scale_shapes import layer_curves, seven_b_notes, width_curves

MEMORY = 4 * 2**30
"""Bytes within which a million facts are to be encoded, measured and filtered."""


def scale_curves(bench: Bench) -> Outcome:
    """Measure every curve of the bench's size."""
    scale = bench.size.scale
    costs = [_fact_costs(bench.model, count) for count in scale.facts]
    options = options_for(bench, "lora", bench.scratch / "scale")
    base = load_base(bench.model, dtype="float32")
    methods = {name: plan_cell(bench, recipe) for name, recipe in _PREPARED.items()}
    curves = [
        *fact_curves(costs),
        *cell_curves(options, scale.cells),
        *layer_curves(base, methods, scale.layers),
        *width_curves(scale.widths),
    ]
    notes = [memory_note(costs[-1]), *(seven_b_notes() if scale.seven_b else [])]
    return Outcome(curves=curves, notes=notes)


_PREPARED = {"pissa": "pissa", "corda": "corda[mode=ipm]"}


def fact_curves(costs: list[FactCosts]) -> list[Curve]:
    """Return a curve for each stage that facts go through."""
    return [
        Curve(stage, "facts", tuple(Point(cost.facts, cost.seconds[stage]) for cost in costs), 1.0)
        for stage in costs[0].seconds
    ]


def memory_note(cost: FactCosts) -> str:
    """Say how much memory the most facts needed."""
    verdict = "within" if cost.peak_bytes <= MEMORY else "above"
    return (
        f"{cost.facts} facts read, encoded, measured and filtered: {cost.peak_bytes / 2**30:.2f} "
        f"GiB at most, the model included: {verdict} {MEMORY / 2**30:.0f} GiB."
    )


def _fact_costs(model: str, count: int) -> FactCosts:
    """Measure a number of facts in a process of its own, whose memory is theirs alone."""
    command = [sys.executable, "-m", "bench.pages.performance.scale_facts", model, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{count} facts could not be measured: {done.stderr[-2000:]}")
    return FactCosts(**json.loads(done.stdout.splitlines()[-1]))
