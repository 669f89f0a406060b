"""One training of the interference study: attach, train, and measure its facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.cell.attach import attach
from bench.evaluation.embedding_space import AnswerSpace
from bench.evaluation.responses import EVALUATION_BATCH
from bench.evaluation.round_trip import refuse_unanswerable
from bench.evaluation.signals import BaseSignals
from bench.failures import first_line, is_out_of_memory
from bench.inference.contexts import Contexts
from bench.inference.encoding import Example, batches_by_length, collate
from bench.inference.generation import greedy_answers
from bench.inference.hidden_states import answer_states
from bench.inference.likelihood import negative_log_likelihoods
from bench.models.loading import Base
from bench.store.cost_cache import CostCache
from bench.store.records import Status
from bench.studies.interference.plan import PlannedTraining
from bench.studies.interference.store import FactOutcome, Trained, TrainingRecord
from bench.training.loop import DivergenceError, TrainingLog, train
from tasks.context import Context
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.prompt import LONGEST_ANSWER, Prompt
from tasks.scoring import exact_match

States = NDArray[np.float32]


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
    except DivergenceError as error:
        return _ended(planned, Status.DIVERGED, str(error))
    except UsageError as error:
        return _ended(planned, Status.FAILED, str(error))
    except Exception as error:  # a training that raises loses its own facts only
        status = Status.OUT_OF_MEMORY if is_out_of_memory(error) else Status.FAILED
        return _ended(planned, status, first_line(error))


def _trained(
    planned: PlannedTraining,
    base: Base,
    cache: CostCache,
    on_step: Callable[[int, float], None],
) -> Trained:
    model: nn.Module = base.model
    log = TrainingLog()
    if planned.group.facts:
        model, log = _fit(planned, base, cache, on_step)
    outcomes = measure(model, base, planned.group.measured, planned.cell.data.prompt)
    if not all(np.isfinite([fact.nll, *fact.state]).all() for fact in outcomes):
        return _ended(planned, Status.DIVERGED, "the trained model's states are not finite")
    # One more than the passes of training: the state after the last of them.
    seen = sum(len(points) - 1 for points in log.accuracies)
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
) -> tuple[nn.Module, TrainingLog]:
    cell, spec = planned.cell, planned.spec
    # Only calibration is the same for all groups, so nothing else is worth caching.
    shared = cache if cell.calibration else CostCache()
    signals = BaseSignals(base, planned.group.facts, cell.data.prompt, shared)
    refuse_unanswerable(base, planned.group.facts, signals.contexts, shared)
    attached = attach(base, signals, cell.recipe, spec.cell, cell.calibration, spec.max_steps)
    torch.manual_seed(spec.cell.seed)
    log = train(attached.model, cell.recipe.adapter, attached.plan, on_step)
    return attached.model, log


def measure(
    model: nn.Module, base: Base, facts: Sequence[Fact], prompt: Prompt
) -> tuple[FactOutcome, ...]:
    """Ask a model the facts, as a cell's evaluation does, and read its answer states.

    The answer budget does not depend on the facts, so that all groups are asked alike.

    Args:
        model: The trained model, or the base.
        base: The base whose tokenizer and input embeddings are used.
        facts: The facts to ask.
        prompt: The demonstrations.
    """
    tokenizer = base.tokenizer
    prompts = [prompt.few_shot(fact.question) for fact in facts]
    answers = greedy_answers(
        model,
        tokenizer,
        prompts,
        budget=LONGEST_ANSWER,
        batch_size=EVALUATION_BATCH,
        share=len(facts) > 1,
    )
    contexts = Contexts(tokenizer, prompt)
    examples = contexts.examples(Context.FEW_SHOT, facts)
    nll = negative_log_likelihoods(model, examples, tokenizer.pad_token_id, EVALUATION_BATCH)
    states = first_answer_states(model, base, contexts.examples(Context.PLAIN, facts))
    space = AnswerSpace(tokenizer, base.model.get_input_embeddings().weight)
    return tuple(
        FactOutcome(
            fact_id=fact.id,
            target=fact.target,
            answer=answer,
            correct=exact_match(answer, fact.answers),
            distance=space.distance(answer, fact.answers),
            nll=likelihood,
            state=state,
        )
        for fact, answer, likelihood, state in zip(facts, answers, nll, states, strict=True)
    )


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
