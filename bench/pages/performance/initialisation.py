"""Preparation of CorDA and PiSSA: timed against PEFT, and both compared with float64."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from peft import get_peft_model
from peft.tuners.lora.corda import preprocess_corda
from torch import Tensor, nn

from bench.models.loading import Base
from bench.pages.performance.baseline.adapters import calibrate, lora_config
from bench.pages.performance.cost_curves import timed
from bench.pages.performance.entries import Bench, Outcome, Row, interleaved
from bench.pages.performance.jobs import (
    base_of,
    calibration_texts,
    plan_cell,
    setting_of,
    signals_of,
)
from bench.pages.performance.machine import shares_on_one_core
from bench.planning.planned_cell import PlannedCell
from methods.adapters.corda import Corda
from methods.decomposition import damped_covariance
from methods.lora_family import ILL_CONDITIONED, LoraFamily
from methods.targets import linear_layers, weight_of

CORDA_RATIOS = {"ipm": 5.0, "kpm": 3.0}
PISSA_RATIO = 3.0
CORDA_ERROR, PISSA_ERROR = 1e-5, 1e-4
"""Largest relative error of B A against float64, in layers where B A is well determined."""


@dataclass(frozen=True)
class _Product:
    """How far B A of one layer is from its value in float64.

    Attributes:
        condition: Condition number of the matrix that was decomposed.
        ours, usual: Relative errors of both sides in the Frobenius norm.
    """

    condition: float
    ours: float
    usual: float


def preparing_corda(bench: Bench) -> Outcome:
    """Time CorDA's preparation in its modes, including calibration."""
    base = base_of(bench)
    rows = [_corda(bench, base, mode, CORDA_RATIOS[mode]) for mode in bench.size.modes]
    return Outcome([row for row, _ in rows], notes=[note for _, notes in rows for note in notes])


def preparing_pissa(bench: Bench) -> Outcome:
    """Time PiSSA's preparation against PEFT's exact initialisation."""
    base = base_of(bench)
    cell = plan_cell(bench, "pissa")
    sides = _Sides(bench, base, cell, lambda model, config: None)
    row, notes = sides.compared("pissa preparation", PISSA_RATIO, PISSA_ERROR, lambda _, W: W)
    return Outcome([row], notes=notes)


def _corda(bench: Bench, base: Base, mode: str, target: float) -> tuple[Row, list[str]]:
    # PEFT's calibration runs what it is given text by text, so ours does, too.
    cell = plan_cell(bench, f"corda[mode={mode},pack=0]")
    texts = calibration_texts(cell)

    def preprocess(model: Any, config: Any) -> None:
        preprocess_corda(model, config, partial(calibrate, model, base.tokenizer, texts))

    sides = _Sides(bench, base, cell, preprocess)
    adapter = cell.recipe.adapter
    assert isinstance(adapter, Corda)
    facts = cell.calibration if mode == "kpm" else cell.data.facts
    covariances = signals_of(base, cell).covariance(facts, adapter.samples, adapter.pack)

    def decomposed(name: str, weight: Tensor) -> Tensor:
        return weight @ damped_covariance(covariances[name].to(weight.device))

    what = f"corda preparation, {mode}, {len(texts)} texts"
    return sides.compared(what, target, CORDA_ERROR, decomposed)


class _Sides:
    """Both ways to prepare an adapter; each keeps the model that it prepared.

    Args:
        bench: The size of the measurement.
        base: The resident base.
        cell: The cell whose adapter is prepared.
        preprocess: What PEFT does before it injects the adapter.
    """

    def __init__(
        self,
        bench: Bench,
        base: Base,
        cell: PlannedCell,
        preprocess: Callable[[Any, Any], None],
    ) -> None:
        self._bench, self._base, self._cell, self._preprocess = bench, base, cell, preprocess
        self._models: dict[str, nn.Module] = {}

    def compared(
        self,
        what: str,
        target: float,
        tolerance: float,
        decomposed: Callable[[str, Tensor], Tensor],
    ) -> tuple[Row, list[str]]:
        """Time both sides and compare their B A with float64; note what limits a slow one.

        Args:
            what: Names the row.
            target: The speed-up to reach.
            tolerance: Largest relative error of ours where the condition number is below 1e7.
            decomposed: Returns the float64 matrix whose singular vectors are taken, from the
                layer's name and weight.
        """
        size = self._bench.size
        runs = {"usual": self._usual_seconds, "ours": self._our_seconds}
        seconds = interleaved(runs, size.rounds, warm=self._bench.on_gpu)
        products = list(self._products(decomposed))
        known = [product for product in products if product.condition < ILL_CONDITIONED]
        worst = max((product.ours for product in known), default=0.0)
        usual = max((product.usual for product in known), default=0.0)
        same = f"B A within {worst:.1e} of float64 (PEFT: {usual:.1e}), {len(known)} layers"
        row = Row(what, seconds["usual"], seconds["ours"], target, same, worst <= tolerance)
        notes = [_rest(what, [p for p in products if p.condition >= ILL_CONDITIONED])]
        if not row.reached:
            longest = shares_on_one_core(self._our_seconds, self._bench.device)
            notes.append(f"Our {what}, share of time by operation, on one core: {longest}.")
        return row, notes

    def _our_seconds(self) -> float:
        adapter, setting = self._cell.recipe.adapter, setting_of(self._base, self._cell)

        def prepare() -> None:
            self._models["ours"] = adapter.attach(setting, adapter.prepare(setting))

        return timed(prepare)

    def _usual_seconds(self) -> float:
        adapter = self._cell.recipe.adapter
        assert isinstance(adapter, LoraFamily)
        name = f"corda_{adapter.mode}" if isinstance(adapter, Corda) else "pissa"
        model: Any = copy.deepcopy(self._base.model)
        config = lora_config(model, name, adapter.r)

        def prepare() -> None:
            self._preprocess(model, config)
            self._models["usual"] = get_peft_model(model, config)

        return timed(prepare)

    @torch.no_grad()
    def _products(self, decomposed: Callable[[str, Tensor], Tensor]) -> Iterator[_Product]:
        adapter: Any = self._cell.recipe.adapter
        layers = list(linear_layers(self._base.model))
        count = self._bench.size.exact or len(layers)
        largest = not isinstance(adapter, Corda) or adapter.mode == "ipm"
        for name, linear in layers[:: max(1, len(layers) // count)]:
            weight = weight_of(linear).double()
            U, S, _ = torch.linalg.svd(decomposed(name, weight), full_matrices=False)
            chosen = U[:, : adapter.r] if largest else U[:, -adapter.r :]
            expected = chosen @ (chosen.T @ weight)
            ours, usual = (self._product(side, name) for side in ("ours", "usual"))
            yield _Product(
                float(S[0] / S[-1]), _relative(ours, expected), _relative(usual, expected)
            )

    def _product(self, side: str, name: str) -> Tensor:
        """Return s B A of a layer, float64 `[d_out, d_in]`."""
        model: Any = self._models[side]
        layer = model.base_model.model.get_submodule(name)
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        return layer.scaling["default"] * up.double() @ down.double()


def _relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def _rest(what: str, products: list[_Product]) -> str:
    if not products:
        return f"{what}: float32 determines every layer (condition number below 1e7)."
    ours, usual = (max(getattr(p, side) for p in products) for side in ("ours", "usual"))
    return (
        f"{what}: {len(products)} layers have a condition number of 1e7 or more; there B A is "
        f"within {ours:.1e} of float64 (PEFT: {usual:.1e})."
    )
