"""One training of the study of order: attach, train in its order, and ask about all facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from bench.cell.context import CellContext
from bench.evaluation.responses import budget_for
from bench.inference.generation import greedy_answers
from bench.models.loading import Base
from bench.progress.base import Progress
from bench.store.records import PhaseName, Status
from bench.studies.learner import Learner, drift_items, learner, refuse_changed
from bench.studies.order.plan import OrderTraining
from bench.studies.order.store import FactOutcome, OrderRecord, Trained
from bench.studies.trainings import ending
from tasks.fact import Fact

OnStep = Callable[[int, float], None]


def run_training(
    planned: OrderTraining, base: Base, bench: CellContext, progress: Progress
) -> Trained:
    """Train a group of facts on a borrowed base and measure them; errors end up in the record.

    Args:
        planned: The training.
        base: The resident base.
        bench: What trainings share.
        progress: Shows its steps.
    """
    try:
        return _trained(planned, base, bench, progress)
    except Exception as error:  # a training that raises loses its own facts only
        status, reason = ending(error)
        return Trained(OrderRecord(spec=planned.spec, status=status, reason=reason))


@dataclass(frozen=True)
class _Taught:
    """What was seen of one fact when its own training ended.

    Attributes:
        exposures: How often it was trained.
        taught: Whether its target was right under teacher forcing.
        right_then: Whether the greedy answer was; None if that is the state that is asked anyway.
    """

    exposures: int
    taught: bool
    right_then: bool | None = None


def _trained(planned: OrderTraining, base: Base, bench: CellContext, progress: Progress) -> Trained:
    facts, spec = planned.facts, planned.spec
    trained = learner(planned.cell, spec.cell, facts, facts, base, bench)
    progress.phase(PhaseName.TRAIN, planned.steps)
    train = _one_after_another if spec.depth_first else _in_epochs
    taught, updates = train(trained, planned, progress.step)
    refuse_changed(trained, bench)
    progress.phase(PhaseName.EVALUATE)
    known = trained.signals.known.tolist()
    outcomes = tuple(
        FactOutcome(
            **asdict(answers),
            place=place,
            exposures=seen.exposures,
            taught=seen.taught,
            right_then=answers.right if seen.right_then is None else seen.right_then,
            known=knew,
        )
        for place, (answers, seen, knew) in enumerate(
            zip(trained.answers(), taught, known, strict=True)
        )
    )
    record = OrderRecord(
        spec=spec,
        status=Status.DONE,
        updates=updates,
        exposures=sum(seen.exposures for seen in taught) / len(facts),
        drift=drift_items(trained, bench),
    )
    return Trained(record, outcomes)


def _in_epochs(
    trained: Learner, planned: OrderTraining, on_step: OnStep
) -> tuple[list[_Taught], int]:
    """Train all facts in epochs; return what was seen of each, and the updates."""
    log = trained.train(
        trained.plan(planned.facts, until_right=planned.spec.until_learned), on_step
    )
    return [_Taught(len(log.curve), seen[-1] == 1) for seen in log.accuracies], len(log.losses)


def _one_after_another(
    trained: Learner, planned: OrderTraining, on_step: OnStep
) -> tuple[list[_Taught], int]:
    """Train each fact alone to its end, then the next, and ask each directly after it."""
    shared, taught, done = None, list[_Taught](), 0
    for fact in planned.facts:
        plan = trained.plan([fact], until_right=planned.spec.until_learned)
        if planned.spec.kept_optimizer and shared is None:
            shared = trained.updates(plan)
        log = trained.train(plan, on_step, shared, done=done)
        done += len(log.losses)
        [seen] = log.accuracies
        taught.append(_Taught(len(log.losses), seen[-1] == 1, _is_right(trained, fact)))
    return taught, done


def _is_right(trained: Learner, fact: Fact) -> bool:
    """Return whether the greedy answer to the trained prompt is right now."""
    contexts = trained.contexts
    # That of the question in the end.
    budget = budget_for(contexts.tokenizer, trained.facts, contexts.form)
    prompt = contexts.prompt(contexts.asked, fact.question)
    [answer] = greedy_answers(
        trained.model, contexts.tokenizer, [prompt], budget=budget, form=contexts.form
    )
    return fact.accepts(answer)
