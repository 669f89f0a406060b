"""Cost as work grows: facts, cells, layers and width, each as a curve with its exponent.

Layers and matrices have random weights, which cost as much as trained ones while they are
well-conditioned. Depth is measured on whole models, width on single matrices.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench import child_environment
from bench.models.loading import Base, load_base
from bench.pages.performance.cost_curves import Curve, Point, least_seconds
from bench.pages.performance.entries import Bench, Outcome
from bench.pages.performance.jobs import options_for, plan_cell, setting_of
from bench.pages.performance.scaling_cells import cell_curves
from bench.pages.performance.scaling_facts import FactCosts
from bench.planning.planned_cell import PlannedCell
from methods.decomposition import corda_factors, damped_covariance, principal_factors
from methods.subspaces import End

RANK, SCALE = 16, 1.0
LAYER_WIDTH = 256
SEVEN_B = ((4096, 4096), (11008, 4096), (4096, 11008))
"""d_out and d_in of the linear layers of Llama 2 7B: attention, up, down."""

MEMORY = 4 * 2**30
"""The memory limit, in bytes, for encoding, measuring and filtering a million facts."""


def scale_curves(bench: Bench) -> Outcome:
    """Measure every curve at the sizes of the bench."""
    scale = bench.size.scale
    costs = [_fact_costs(bench.model, count) for count in scale.facts]
    options = options_for(bench, "lora", bench.scratch / "scale")
    base = load_base(bench.model)
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
    """Return one curve for each stage that facts pass through."""
    return [
        Curve(stage, "facts", tuple(Point(cost.facts, cost.seconds[stage]) for cost in costs), 1.0)
        for stage in costs[0].seconds
    ]


def memory_note(cost: FactCosts) -> str:
    """Say how much memory the largest number of facts needed."""
    verdict = "within" if cost.peak_bytes <= MEMORY else "above"
    return (
        f"{cost.facts:,} facts read, encoded, measured and filtered: at most "
        f"{cost.peak_bytes / 2**30:.2f} GiB with the model, {verdict} {MEMORY / 2**30:.0f} GiB."
    )


def _fact_costs(model: str, count: int) -> FactCosts:
    """Measure a number of facts in a separate process, so that its memory is theirs alone."""
    command = [sys.executable, "-m", "bench.pages.performance.scaling_facts", model, str(count)]
    done = subprocess.run(
        command, env=child_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{count} facts could not be measured: {done.stderr[-2000:]}")
    return FactCosts(**json.loads(done.stdout.splitlines()[-1]))


def layer_curves(base: Base, cells: dict[str, PlannedCell], counts: tuple[int, ...]) -> list[Curve]:
    """Time the preparation of whole models of growing depth.

    Args:
        base: The base whose tokenizer is used.
        cells: The cell whose adapter is prepared, by method.
        counts: Numbers of decoder layers.
    """
    models = {count: _random_base(base, count) for count in counts}
    return [
        Curve(
            f"{method} preparation, width {LAYER_WIDTH}",
            "layers",
            tuple(
                Point(count, least_seconds(partial(_prepare, models[count], cell)))
                for count in counts
            ),
            1.0,
        )
        for method, cell in cells.items()
    ]


def width_curves(widths: tuple[int, ...]) -> list[Curve]:
    """Time the decomposition of square matrices of growing width."""
    ways: dict[str, Callable[[int, int], object]] = {"pissa": _pissa, "corda": _corda}
    return [
        Curve(
            f"{method}, one square matrix",
            "width",
            tuple(Point(width, least_seconds(partial(run, width, width))) for width in widths),
            3.0,
        )
        for method, run in ways.items()
    ]


def seven_b_notes() -> list[str]:
    """Say how long each matrix of a 7B model takes by itself."""
    notes = []
    for d_out, d_in in SEVEN_B:
        pissa, corda = (least_seconds(partial(run, d_out, d_in)) for run in (_pissa, _corda))
        taken = f"PiSSA {pissa:.1f} s, CorDA {corda:.1f} s"
        notes.append(f"One {d_out} x {d_in} matrix of a 7B model: {taken}.")
    return notes


def _pissa(d_out: int, d_in: int) -> None:
    principal_factors(_random(d_out, d_in), RANK, SCALE)


def _corda(d_out: int, d_in: int) -> None:
    states = _random(2 * d_in, d_in)
    damped = damped_covariance(states.T @ states / len(states))
    corda_factors(_random(d_out, d_in), damped, RANK, SCALE, End.LARGEST)


def _random(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))


def _random_base(base: Base, layers: int) -> Base:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(layers)
    config = LlamaConfig(
        vocab_size=len(base.tokenizer),
        hidden_size=LAYER_WIDTH,
        intermediate_size=2 * LAYER_WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        tie_word_embeddings=True,
    )
    model: Any = LlamaForCausalLM(config).eval().requires_grad_(False)
    return Base(f"random-{layers}", "0", model, base.tokenizer)


def _prepare(base: Base, cell: PlannedCell) -> None:
    cell.recipe.adapter.prepare(setting_of(base, cell))
