"""What the interference study says about itself, in lines for people."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.studies.interference.compare import Results, outcomes_before
from bench.studies.interference.plan import StudyPlan
from bench.studies.interference.store import Trained
from bench.studies.interference.table import DONE


def where(plan: StudyPlan) -> str:
    """Name model, task, method, facts and seeds."""
    spec, seeds = plan.cell.spec, [condition.seed for condition in plan.alone]
    plural = "seed" if len(seeds) == 1 else "seeds"
    return (
        f"{_named(spec.model)} · {_named(spec.task)} · {spec.method}, "
        f"lr {spec.learning_rate:g}, batch {spec.batch_size}: "
        f"{len(plan.measured)} facts, {plural} {', '.join(map(str, seeds))}"
    )


def _named(given: str) -> str:
    """Return a name as it was given, of a path elsewhere its last part."""
    return Path(given).name if Path(given).is_absolute() else given


def kind_of_intervals(table: pd.DataFrame) -> str:
    """Say what the intervals cover."""
    kinds = [kind for kind in dict.fromkeys(table["interval"]) if kind]
    if not kinds:
        return "no intervals: too few facts"
    return f"95 % intervals, paired by fact ({', '.join(kinds)})"


def about(plan: StudyPlan, table: pd.DataFrame, results: Results) -> tuple[str, ...]:
    """Return how to read the table and the picture."""
    spec = plan.cell.spec
    known = sum(fact.correct for fact in outcomes_before(plan, results).values())
    return (
        where(plan),
        "the same facts are compared in every line: each trained alone, with "
        f"{spec.epochs} updates, against trained in a group of K; other facts of the task fill "
        "groups up and are not measured",
        f"equal exposures: a group is trained {spec.epochs} epochs; equal updates: exactly "
        f"{spec.epochs} updates, the first of the same batches in the same order. Up to K = "
        f"{spec.batch_size} (the batch) both are one and the same training",
        f"before training the base answers {known} of the {len(plan.measured)} facts; correct "
        "means the greedy answer after demonstrations, by exact match",
        "interference: mean of accuracy alone - accuracy joint; NLL: of the target after "
        "demonstrations, joint - alone",
        "shrink: mean of |h joint - h before| / |h alone - h before|, h the state after the "
        "final norm from which the plain prompt predicts the first answer token; 1 means "
        "that a fact moves its state as far in company as alone",
        "the phenomenon is that of arXiv 2405.18292, the measures are this project's",
        f"{kind_of_intervals(table)}; an interval of width 0 means that all facts agree",
    )


def outcome_line(trained: Trained) -> str:
    """Say in one line how a training ended."""
    if not trained.outcomes:
        return trained.record.reason
    correct = sum(outcome.correct for outcome in trained.outcomes)
    return f"{correct} of {len(trained.outcomes)} facts answered"


def failure_lines(table: pd.DataFrame) -> tuple[str, ...]:
    """Return a line per size and regime that lacks facts."""
    failed = table[table["status"] != DONE].to_dict("records")
    return tuple(
        f"K = {line['size']}, {line['regime']}: {line['status']}; their facts are missing there"
        for line in failed
    )
