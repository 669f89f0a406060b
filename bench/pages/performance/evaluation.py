"""Evaluation: both sides question and score the same trained model."""

from __future__ import annotations

import copy
from typing import Any

from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

from bench.evaluation.responses import Responses, respond
from bench.forgetting.suite import ForgettingTasks, Seen
from bench.inference.contexts import Contexts
from bench.models.loading import Base, load_base
from bench.pages.performance.baseline import evaluation as usual
from bench.pages.performance.baseline.adapters import lora_config
from bench.pages.performance.baseline.job import Job
from bench.pages.performance.cost_curves import timed
from bench.pages.performance.entries import Bench, Outcome, Row, interleaved, share_equal
from bench.pages.performance.jobs import FORGETTING, attached, job_for, plan_cell, signals_of
from bench.planning.planned_cell import PlannedCell
from bench.training.loop import train
from tasks.base import DataAccess
from tasks.forgetting.names import parse_forgetting

EQUAL = 0.95
"""Least share of equal answers; float32 sums in another order may change a few."""


def evaluation(bench: Bench) -> Outcome:
    """Time everything that a cell asks a trained model; its base was asked before."""
    base = load_base(bench.model)
    cell = plan_cell(bench, "lora", epochs=1)
    sides = _Sides(bench, base, cell)
    runs = {"usual": sides.usual_seconds, "ours": sides.our_seconds}
    seconds = interleaved(runs, bench.size.rounds, warm=False)
    answers, items = sides.agreement()
    row = Row(
        "evaluation of a cell: answers, likelihoods, forgetting",
        seconds["usual"],
        seconds["ours"],
        2.0,
        f"{answers:.0%} of answers and {items:.0%} of item scores equal",
        min(answers, items) >= EQUAL,
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
        plain: Any = copy.deepcopy(base.model)
        self._plain = get_peft_model(plain, lora_config(plain, "lora", self._job.rank)).eval()
        set_peft_model_state_dict(self._plain, get_peft_model_state_dict(made.model))
        self._before = signals_of(base, cell).before
        forgetting = ForgettingTasks(DataAccess(None), bench.size.items)
        seen = Seen(cell.data.facts, cell.calibration)
        self._suite = forgetting.on(base, forgetting.build(parse_forgetting(FORGETTING), seen))
        self._suite.base_scores(self._suite.tasks[0])  # a cell has them already, too
        self._said: Responses | None = None
        self._scores: list[float] = []
        self._usual_said: list[str] = []
        self._usual_scores: list[float] = []

    def our_seconds(self) -> float:
        """Time the questions of a cell."""

        def ask() -> None:
            data = self._cell.data
            contexts = Contexts(self._base.tokenizer, data.prompt)
            self._said = respond(self._model, contexts, data.facts, self._before)
            self._scores = self._suite.measure(self._model)[0].tuned_items

        return timed(ask)

    def usual_seconds(self) -> float:
        """Time the same questions on the baseline."""
        job, tokenizer = self._job, self._base.tokenizer

        def ask() -> None:
            self._usual_said = usual.answers(
                self._plain, tokenizer, job.questions, job.budget, job.stops
            )
            usual.likelihoods(self._plain, tokenizer, job.likely)
            self._usual_scores = usual.item_scores(self._plain, tokenizer, job)

        return timed(ask)

    def agreement(self) -> tuple[float, float]:
        """Return the shares of equal answers and of equal item scores."""
        assert self._said is not None
        answers = self._said.few_shot
        return (
            share_equal(answers, self._usual_said[: len(answers)]),
            share_equal(self._scores, self._usual_scores),
        )
