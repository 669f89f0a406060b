"""From a recipe to a model ready to train: decide, prepare, attach to a borrowed base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from bench.cell.decisions import Decisions, decide
from bench.cell.training_parts import notes_of, order_of, penalty_of, replayed_of
from bench.evaluation.signals import BaseSignals
from bench.inference.encoding import IGNORED, Example, collate
from bench.inference.equivalence import logits_agree
from bench.inference.likelihood import target_logits
from bench.libraries import heard
from bench.models.copy_on_write import BorrowedModel, borrow
from bench.models.device_map import is_divided
from bench.models.loading import Base
from bench.models.quantisation import quantised_layers, refuse_packed
from bench.models.unwrap import unwrap
from bench.store.records import CellSpec
from bench.training.fuse_adapters import fuse_projections
from bench.training.loop import TrainingPlan, data_order_seed
from methods.notes import Notes
from methods.parts import Adapter, Setting
from methods.reach import reach_notes
from methods.recipe import Recipe, part_name
from methods.targets import decoder_layers
from methods.two_steps.pair import Pair, join
from tasks.errors import UsageError
from tasks.fact import Fact

if TYPE_CHECKING:
    from peft import PeftModel

PROBES = 8
"""Training facts on which the adapter's difference to the base is measured."""

IDENTITY_TOLERANCE = 1e-3
"""Largest |logit difference| to the base, in float32, of an adapter that starts as an identity."""


@dataclass(frozen=True)
class Below:
    """The adapter of a first step, to train on top of.

    Attributes:
        base: The untouched base.
        folder: Where the adapter is saved.
        trainable: Whether it is trained too.
    """

    base: Base
    folder: Path
    trainable: bool


@dataclass(frozen=True)
class Attached:
    """A borrowed base with its adapter, and how it will be trained.

    Attributes:
        model: The model with its adapter, in evaluation mode.
        loan: What it borrowed of the base.
        adapter: The recipe's adapter, fitted to the layers.
        setting, prepared: What the adapter was given, and what its `prepare` returned.
        decisions: Which facts and layers are trained, and the weights of the facts; its notes hold
            what libraries warned of.
        plan: The training plan, of the kept facts only.
        difference: Largest |logit difference| to the base before training.
        tolerance: The difference up to which the adapter starts as an identity.
        pair: Both adapters, if it is trained on top of that of a first step.
    """

    model: nn.Module
    loan: BorrowedModel
    adapter: Adapter
    setting: Setting
    prepared: object
    decisions: Decisions
    plan: TrainingPlan
    difference: float
    tolerance: float
    pair: Pair | None = None


def attach(
    base: Base,
    signals: BaseSignals,
    recipe: Recipe,
    spec: CellSpec,
    calibration: Sequence[Fact],
    max_steps: int | None = None,
    followed: Sequence[Example] | None = None,
    below: Below | None = None,
    replay: Sequence[Fact] = (),
) -> Attached:
    """Let a recipe decide on the facts of its signals, and attach its adapter.

    On top of another adapter, everything is decided, prepared and compared on the model with that
    one merged in, and attached to the untouched base with both.

    Args:
        base: The resident base, which is borrowed and never changed; after a first step, the
            model with what that has trained.
        signals: What the base knows about the facts to train.
        recipe: The method.
        spec: Seed, schedule and names.
        calibration: Facts that the adapter may calibrate on.
        max_steps: Stops training after this many steps; None: train all epochs.
        followed: See `TrainingPlan`.
        below: The adapter to train on top of; None if there is none, or if it is merged.
        replay: Facts of the tasks that the recipe's replay asks for.

    Raises:
        UsageError: The recipe does not fit the model, the facts, or the adapter below.
    """
    if recipe.adapter.needs_one_device and is_divided(base.model):
        name = part_name(recipe.adapter)
        raise UsageError(f"{name} needs a model on one device: leave out {name} or --device-map")
    if any(quantised_layers(base.model)):
        refuse_packed(recipe.adapter, "--quantize")
    facts = signals.facts
    decisions = decide(recipe, signals, len(decoder_layers(base.model)[1]), spec.seed)
    adapter = recipe.adapter.fitted(base.model, decisions.layers)
    kept = [facts[index] for index in decisions.chosen]
    examples = [signals.contexts.examples(one, kept) for one in signals.contexts.trained]
    weights = decisions.weights[decisions.chosen]
    if len(examples[0]) != len(kept):  # texts, packed into windows
        weights = torch.ones(len(examples[0]), dtype=weights.dtype)
    rows, seed = len(examples[0]), spec.seed
    replayed = replayed_of(recipe, examples[0], replay, base.tokenizer, spec.epochs, seed)
    plan = TrainingPlan(
        contexts=examples,
        weights=weights,
        epochs=spec.epochs,
        batch_size=spec.batch_size,
        learning_rate=spec.learning_rate,
        order_seed=data_order_seed(spec.seed, spec.task),
        pad=base.tokenizer.pad_token_id,
        schedule=spec.schedule,
        warmup=spec.warmup,
        accumulation=spec.accumulation,
        reweigh=decisions.reweigh,
        max_steps=max_steps,
        followed=followed,
        order=order_of(recipe, signals, decisions, rows, seed),
        replayed=replayed,
        penalty=penalty_of(recipe, signals, seed),
    )
    loan = borrow(below.base if below else base)
    setting = Setting(
        model=loan.model,
        facts=tuple(kept),
        calibration=tuple(calibration),
        layers=decisions.layers,
        steps=plan.steps,
        seed=spec.seed,
        signals=signals,
        base_name=spec.model,
        tokenizer=base.tokenizer,
    )
    # Seeded before each step that may draw, and by the runner once more before training: what one
    # draws, or finds in a cache instead, must not move where the next one starts.
    with heard() as warned:
        torch.manual_seed(spec.seed)
        measured = replace(setting, model=borrow(base).model) if below else setting
        key, prepare = adapter.start_key(measured), partial(adapter.prepare, measured)
        prepared = prepare() if key is None else signals.start(key, prepare)
        torch.manual_seed(spec.seed)
        model = adapter.attach(setting, prepared).eval()
        pair = _on_top(model, below, base, plan) if below else None
    if base.checkpointing:
        # PEFT lets embeddings require gradients then; only reentrant checkpoints need it.
        unwrap(model).disable_input_require_grads()
    notes = (
        *decisions.notes,
        *notes_of(recipe, signals, replayed),
        Notes(warnings=tuple(warned)),
        *reach_notes(base.model, decisions.layers, model),
    )
    decisions = replace(decisions, notes=notes)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        name = part_name(adapter)
        raise UsageError(f"adapter '{name}' leaves nothing to train: no parameter requires grad")
    loan.settle()
    expected = pair.alone if pair else _probe_logits(base.model, plan)
    difference = init_difference(expected, _probe_logits(model, plan))
    fuse_projections(model, partial(_probe_logits, model, plan))
    tolerance = identity_tolerance(base, plan)
    return Attached(
        model, loan, adapter, setting, prepared, decisions, plan, difference, tolerance, pair
    )


def _on_top(model: nn.Module, below: Below, base: Base, plan: TrainingPlan) -> Pair:
    """Put the adapter of a first step below the one that a model has.

    Args:
        model: The untouched base with the adapter of the second step.
        below: The adapter of the first step.
        base: The model with that one merged in.
        plan: The training plan.

    Raises:
        UsageError: They do not fit together, one of them has no effect, or the first one is not
            what was merged.
    """
    probe = partial(_probe_logits, model, plan)
    pair = join(cast("PeftModel", model), below.folder, trainable=below.trainable, probe=probe)
    if torch.equal(pair.alone, _probe_logits(below.base.model, plan)):
        raise UsageError("the adapter of the first step changes nothing: it is not active")
    # In half precision the sum that was merged is rounded, which no order of summation explains.
    exact = base.model.dtype == torch.float32
    if exact and not logits_agree(_probe_logits(base.model, plan), pair.alone):
        raise UsageError("the adapter of the first step is not the one that was merged")
    one = collate(plan.contexts[0], [0], plan.pad)
    pair.check_reached(target_logits(model, one).float().logsumexp(-1).sum())
    return pair


def init_difference(expected: Tensor, found: Tensor) -> float:
    """Return max |logit difference|, over a few training facts."""
    return float((found.float() - expected.float()).abs().max())


@torch.no_grad()
def identity_tolerance(base: Base, plan: TrainingPlan) -> float:
    """Return the largest |logit difference| to the base of an adapter that starts as an identity.

    In half precision it is what the base itself differs by when it runs the same facts one by one.
    """
    if base.model.dtype == torch.float32:
        return IDENTITY_TOLERANCE
    probes = range(min(PROBES, plan.facts))
    together = _labelled(base.model, plan, probes)
    alone = torch.cat([_labelled(base.model, plan, [probe]) for probe in probes])
    return max(IDENTITY_TOLERANCE, float((together - alone).abs().max()))


def _labelled(model: nn.Module, plan: TrainingPlan, probes: Sequence[int]) -> Tensor:
    """Return the logits that predict the target tokens of some facts, float32 `[tokens, vocab]`."""
    batch = collate(plan.contexts[0], probes, plan.pad)
    logits = target_logits(model, batch)
    return logits[(batch.labels != IGNORED).to(logits.device)].float()


@torch.no_grad()
def _probe_logits(model: nn.Module, plan: TrainingPlan) -> Tensor:
    examples = plan.contexts[0]
    indices = list(range(min(PROBES, len(examples))))
    return target_logits(model, collate(examples, indices, plan.pad))
