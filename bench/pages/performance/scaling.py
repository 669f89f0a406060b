"""Cost as work grows: facts, cells, layers and width, each as a curve with its exponent.

Layers and width are those of random weights: they cost what trained ones do, as long as they are
well-conditioned. Whole models for the layers, single matrices for the width, up to those of 7B.
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
from bench.models.copy_on_write import borrow
from bench.models.loading import Base, load_base
from bench.pages.performance.cost_curves import Curve, Point, least_seconds
from bench.pages.performance.entries import Bench, Outcome
from bench.pages.performance.jobs import options_for, plan_cell, signals_of
from bench.pages.performance.scaling_cells import cell_curves
from bench.pages.performance.scaling_facts import FactCosts
from bench.planning.planned_cell import PlannedCell
from methods.decomposition import corda_factors, damped_covariance, principal_factors
from methods.parts import Setting
from methods.subspaces import End

RANK, SCALE = 16, 1.0
LAYER_WIDTH = 256
SEVEN_B = ((4096, 4096), (11008, 4096), (4096, 11008))
"""d_out and d_in of the layers of a 7B model of Llama 2's shape: attention, up, down."""

MEMORY = 4 * 2**30
"""Bytes within which a million facts are to be encoded, measured and filtered."""


def scale_curves(bench: Bench) -> Outcome:
    """Measure every curve of the bench's size."""
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
    command = [sys.executable, "-m", "bench.pages.performance.scaling_facts", model, str(count)]
    done = subprocess.run(
        command, env=child_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{count} facts could not be measured: {done.stderr[-2000:]}")
    return FactCosts(**json.loads(done.stdout.splitlines()[-1]))


def layer_curves(base: Base, cells: dict[str, PlannedCell], counts: tuple[int, ...]) -> list[Curve]:
    """Measure preparing whole models of growing depth.

    Args:
        base: Whose tokenizer is used.
        cells: By method, what is prepared.
        counts: Of decoder layers.
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
    """Measure decomposing square matrices of growing width."""
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
    """Say what the matrices of a 7B model take, each alone."""
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
    setting = Setting(
        model=borrow(base).model,
        facts=cell.data.facts,
        calibration=cell.calibration,
        layers=None,
        steps=1,
        seed=0,
        signals=signals_of(base, cell),
        base_name=base.name,
        tokenizer=base.tokenizer,
    )
    cell.recipe.adapter.prepare(setting)
