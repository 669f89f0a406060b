"""One training of the interference study: attach, train, and measure its facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.cell.attach import attach
from bench.evaluation.embedding_space import AnswerSpace
from bench.evaluation.responses import EVALUATION_BATCH
from bench.evaluation.round_trip import refuse_unanswerable
from bench.evaluation.signals import BaseSignals
from bench.inference.contexts import Contexts
from bench.inference.encoding import Example, batches_by_length, collate
from bench.inference.generation import greedy_answers
from bench.inference.hidden_states import answer_states
from bench.inference.likelihood import negative_log_likelihoods
from bench.models.loading import Base
from bench.store.cost_cache import CostCache
from bench.store.records import Status
from bench.studies.interference.plan import Group, PlannedTraining
from bench.studies.interference.store import (
    ASKED,
    FactOutcome,
    Said,
    Trained,
    TrainingRecord,
    is_confused,
)
from bench.studies.trainings import ending
from bench.training.loop import TrainingLog, train
from tasks.context import Context
from tasks.fact import Fact
from tasks.form import LONGEST_ANSWER
from tasks.prompt import Prompt
from tasks.scoring import exact_match

States = NDArray[np.float32]
Curve = Sequence[float]
"""Token accuracies of one fact, `[exposures + 1]`; empty if it was not trained."""


def run_training(
    planned: PlannedTraining,
    base: Base,
    cache: CostCache,
    on_step: Callable[[int, float], None],
) -> Trained:
    """Train a group on a borrowed base and measure its facts; errors end up in the record.

    Args:
        planned: The training; a group without facts measures the untrained base.
        base: The resident base.
        cache: The cache that all trainings share.
        on_step: Called with the number of steps done and the last loss.
    """
    try:
        return _trained(planned, base, cache, on_step)
    except Exception as error:  # a training that raises loses its own facts only
        return _ended(planned, *ending(error))


def _trained(
    planned: PlannedTraining,
    base: Base,
    cache: CostCache,
    on_step: Callable[[int, float], None],
) -> Trained:
    model: nn.Module = base.model
    log = TrainingLog()
    kept: tuple[Fact, ...] = ()
    if planned.group.facts:
        model, log, kept = _fit(planned, base, cache, on_step)
    curves = {fact.id: curve for fact, curve in zip(kept, log.accuracies, strict=True)}
    group = Group(kept, planned.group.measured)
    outcomes = measure(model, base, group, planned.cell.data.prompt, curves)
    if not all(map(_is_finite, outcomes)):
        return _ended(planned, Status.DIVERGED, "the trained model's states are not finite")
    seen = sum(map(exposures, curves.values()))
    record = TrainingRecord(
        spec=planned.spec,
        status=Status.DONE,
        updates=len(log.losses),
        exposures=seen / max(1, len(planned.group.facts)),
    )
    return Trained(record, outcomes)


def _fit(
    planned: PlannedTraining,
    base: Base,
    cache: CostCache,
    on_step: Callable[[int, float], None],
) -> tuple[nn.Module, TrainingLog, tuple[Fact, ...]]:
    """Return the trained model, the log of its training, and the facts that were trained."""
    cell, spec = planned.cell, planned.spec
    # Only calibration is the same for all groups, so nothing else is worth caching.
    shared = cache if cell.calibration else CostCache()
    signals = BaseSignals(base, planned.group.facts, cell.data.prompt, shared)
    refuse_unanswerable(base, planned.group.facts, signals.contexts, shared)
    attached = attach(
        base, signals, cell.recipe, spec.cell, cell.calibration, spec.max_steps, replay=cell.replay
    )
    torch.manual_seed(spec.cell.seed)
    log = train(attached.model, attached.adapter, attached.plan, on_step)
    return attached.model, log, attached.setting.facts


def _is_finite(fact: FactOutcome) -> bool:
    return bool(np.isfinite([fact.plain.nll, fact.few_shot.nll, *fact.state]).all())


def measure(
    model: nn.Module, base: Base, group: Group, prompt: Prompt, curves: Mapping[str, Curve]
) -> tuple[FactOutcome, ...]:
    """Ask a model the measured facts of a group in each context, and read its answer states.

    Args:
        model: The trained model, or the base.
        base: The base whose tokenizer and input embeddings are used.
        group: The facts that were trained, none for the base, and the facts to ask.
        prompt: The demonstrations.
        curves: By the id of each fact that was trained, its token accuracy on the trained prompt
            before each of its exposures and in the end.
    """
    contexts, facts = Contexts(base.tokenizer, prompt), group.measured
    plain, few_shot = (_ask(model, base, contexts, context, group) for context in ASKED)
    states = first_answer_states(model, base, contexts.examples(Context.PLAIN, facts))
    return tuple(
        FactOutcome(
            fact_id=fact.id,
            target=fact.target,
            plain=as_trained,
            few_shot=shown,
            exposures=exposures(curves.get(fact.id, ())),
            epochs_to_learn=first_right_for_good(curves.get(fact.id, ())),
            state=state,
        )
        for fact, as_trained, shown, state in zip(facts, plain, few_shot, states, strict=True)
    )


def exposures(curve: Curve) -> int:
    """Return how often a fact was trained, given its curve."""
    # One more point than passes of training: the state after the last of them.
    return max(0, len(curve) - 1)


def first_right_for_good(curve: Curve) -> int | None:
    """Return after how many exposures all target tokens are right and stay so; None if untrained.

    One more than all exposures if they are wrong in the end.
    """
    if not curve:
        return None
    return max((place + 1 for place, accuracy in enumerate(curve) if accuracy < 1), default=0)


def _ask(
    model: nn.Module, base: Base, contexts: Contexts, context: Context, group: Group
) -> list[Said]:
    """Ask the measured facts of a group in one context, as a cell's evaluation does."""
    tokenizer, facts = base.tokenizer, group.measured
    # The budget of a cell depends on its facts; here all groups must be asked alike.
    answers = greedy_answers(
        model,
        tokenizer,
        [contexts.prompt(context, fact.question) for fact in facts],
        budget=LONGEST_ANSWER,
        batch_size=EVALUATION_BATCH,
        share=len(facts) > 1,
    )
    examples = contexts.examples(context, facts)
    nll = negative_log_likelihoods(model, examples, tokenizer.pad_token_id, EVALUATION_BATCH)
    space = AnswerSpace(tokenizer, base.model.get_input_embeddings().weight)
    found = []
    for fact, answer, likelihood in zip(facts, answers, nll, strict=True):
        correct = exact_match(answer, fact.answers)
        found.append(
            Said(
                answer=answer,
                correct=correct,
                confused=is_confused(answer, group.others(fact.id), correct=correct),
                distance=space.distance(answer, fact.answers),
                nll=likelihood,
            )
        )
    return found


def first_answer_states(model: nn.Module, base: Base, examples: Sequence[Example]) -> States:
    """Return the states from which prompts predict the first answer token, `[examples, dim]`.

    They are the states after the last layer and the final norm, which the head reads.
    """
    lengths = [len(example.tokens) for example in examples]
    found: dict[int, States] = {}
    for indices in batches_by_length(lengths, EVALUATION_BATCH, None):
        states = answer_states(model, collate(examples, indices, base.tokenizer.pad_token_id))
        last = states.final_norm(states.raw[-1]).float().cpu().numpy()
        rows = states.rows.cpu().numpy()
        # Positions are in order within a row: the first of each predicts the first token.
        firsts = np.searchsorted(rows, np.arange(len(indices)))
        found |= dict(zip(indices, last[firsts], strict=True))
    return np.stack([found[index] for index in range(len(examples))])


def _ended(planned: PlannedTraining, status: Status, reason: str) -> Trained:
    return Trained(TrainingRecord(spec=planned.spec, status=status, reason=reason))
