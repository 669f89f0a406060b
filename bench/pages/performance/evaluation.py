"""Evaluation: both sides question and score the same trained model."""

from __future__ import annotations

import copy
from statistics import fmean
from typing import Any

from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

from bench.config.types import DType
from bench.evaluation.responses import Responses, respond
from bench.forgetting.suite import ForgettingTasks, Seen
from bench.inference.contexts import Contexts
from bench.models.loading import Base
from bench.pages.performance.baseline import evaluation as usual
from bench.pages.performance.baseline.adapters import lora_config
from bench.pages.performance.baseline.drift import divergences, own_texts
from bench.pages.performance.baseline.job import Job
from bench.pages.performance.cost_curves import timed
from bench.pages.performance.entries import Bench, Outcome, Row, interleaved, share_equal
from bench.pages.performance.jobs import (
    FORGETTING,
    attached,
    base_of,
    job_for,
    plan_cell,
    signals_of,
)
from bench.planning.planned_cell import PlannedCell
from bench.training.loop import train
from tasks.base import DataAccess
from tasks.forgetting.names import parse_forgetting

EQUAL = {DType.FLOAT32: 0.95, DType.BFLOAT16: 0.8, DType.FLOAT16: 0.8}
"""Least share of equal answers; sums in another order may change a few."""

DRIFT_APART = {DType.FLOAT32: 1e-3, DType.BFLOAT16: 0.1, DType.FLOAT16: 0.1}
"""Largest difference between the mean drifts of both sides, in nats per token."""


def evaluation(bench: Bench) -> Outcome:
    """Time everything that a cell asks a trained model; its base was asked before."""
    base = base_of(bench)
    cell = plan_cell(bench, "lora", epochs=1)
    sides = _Sides(bench, base, cell)
    runs = {"usual": sides.usual_seconds, "ours": sides.our_seconds}
    seconds = interleaved(runs, bench.size.rounds, warm=bench.on_gpu)
    answers, items, apart = sides.agreement()
    alike = min(answers, items) >= EQUAL[bench.dtype] and apart <= DRIFT_APART[bench.dtype]
    row = Row(
        "evaluation of a cell: answers, likelihoods, forgetting",
        seconds["usual"],
        seconds["ours"],
        2.0,
        f"{answers:.0%} of answers, {items:.0%} of item scores equal, drift within {apart:.1e}",
        alike,
    )
    return Outcome([row])


class _Sides:
    """One trained model, as each side holds it, and what each side found."""

    def __init__(self, bench: Bench, base: Base, cell: PlannedCell) -> None:
        self._base, self._cell = base, cell
        self._job: Job = job_for(bench, cell, base)
        made = attached(base, cell)
        train(made.model, cell.recipe.adapter, made.plan, lambda *_: None)
        self._model = made.model
        plain_base: Any = base.model
        plain: Any = copy.deepcopy(base.model)
        self._plain = get_peft_model(plain, lora_config(plain, "lora", self._job.rank)).eval()
        set_peft_model_state_dict(self._plain, get_peft_model_state_dict(made.model))
        self._before = signals_of(base, cell).before
        forgetting = ForgettingTasks(DataAccess(None), bench.size.items)
        seen = Seen(cell.data.facts, cell.calibration)
        self._suite = forgetting.on(base, forgetting.build(parse_forgetting(FORGETTING), seen))
        for task in self._suite.tasks:
            self._suite.base_scores(task)  # a cell has them already, too
        self._written = own_texts(plain_base, base.tokenizer, self._job)
        self._said: Responses | None = None
        self._scores: list[float] = []
        self._usual_said: list[str] = []
        self._usual_scores: list[float] = []
        self._drift: list[float] = []
        self._usual_drift: list[float] = []

    def our_seconds(self) -> float:
        """Time the questions of a cell."""

        def ask() -> None:
            data = self._cell.data
            contexts = Contexts(self._base.tokenizer, data.prompt)
            self._said = respond(self._model, contexts, data.facts, self._before)
            knowledge, drift = self._suite.measure(self._model)
            self._scores, self._drift = knowledge.tuned_items, drift.tuned_items

        return timed(ask)

    def usual_seconds(self) -> float:
        """Time the same questions on the baseline."""
        job, tokenizer = self._job, self._base.tokenizer

        def ask() -> None:
            self._usual_said = usual.answers(
                self._plain, tokenizer, job.asked, job.budget, job.stops
            )
            usual.likelihoods(self._plain, tokenizer, job.likely)
            self._usual_scores = usual.item_scores(self._plain, tokenizer, job)
            self._usual_drift = divergences(self._plain, self._written, job)

        return timed(ask)

    def agreement(self) -> tuple[float, float, float]:
        """Return the shares of equal answers and item scores, and how far mean drifts differ."""
        assert self._said is not None
        answers = self._said.few_shot
        return (
            share_equal(answers, self._usual_said[: len(answers)]),
            share_equal(self._scores, self._usual_scores),
            abs(fmean(self._drift) - fmean(self._usual_drift)),
        )
