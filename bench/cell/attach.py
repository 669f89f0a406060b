"""From a recipe to a model ready to train: decide, prepare, attach to a borrowed base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from bench.cell.decisions import Decisions, decide
from bench.evaluation.signals import BaseSignals
from bench.inference.encoding import IGNORED, Example, collate
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
from methods.parts import Setting
from methods.reach import reach_notes
from methods.recipe import Recipe, part_name
from methods.targets import decoder_layers
from tasks.errors import UsageError
from tasks.fact import Fact

PROBES = 8
"""Training facts on which the adapter's difference to the base is measured."""

IDENTITY_TOLERANCE = 1e-3
"""Largest |logit difference| to the base, in float32, of an adapter that starts as an identity."""


@dataclass(frozen=True)
class Attached:
    """A borrowed base with its adapter, and how it will be trained.

    Attributes:
        model: The model with its adapter, in evaluation mode.
        loan: What it borrowed of the base.
        setting, prepared: What the adapter was given, and what its `prepare` returned.
        decisions: Which facts and layers are trained, and the weights of the facts; its notes hold
            what libraries warned of.
        plan: The training plan, of the kept facts only.
        difference: Largest |logit difference| to the base before training.
        tolerance: The difference up to which the adapter starts as an identity.
    """

    model: nn.Module
    loan: BorrowedModel
    setting: Setting
    prepared: object
    decisions: Decisions
    plan: TrainingPlan
    difference: float
    tolerance: float


def attach(
    base: Base,
    signals: BaseSignals,
    recipe: Recipe,
    spec: CellSpec,
    calibration: Sequence[Fact],
    max_steps: int | None = None,
    followed: Sequence[Example] | None = None,
) -> Attached:
    """Let a recipe decide on the facts of its signals, and attach its adapter.

    Args:
        base: The resident base, which is borrowed and never changed.
        signals: What the base knows about the facts to train.
        recipe: The method.
        spec: Seed, schedule and names.
        calibration: Facts that the adapter may calibrate on.
        max_steps: Stops training after this many steps; None: train all epochs.
        followed: See `TrainingPlan`.

    Raises:
        UsageError: The recipe does not fit the model or the facts.
    """
    if recipe.adapter.needs_one_device and is_divided(base.model):
        name = part_name(recipe.adapter)
        raise UsageError(f"{name} needs a model on one device: leave out {name} or --device-map")
    if any(quantised_layers(base.model)):
        refuse_packed(recipe.adapter, "--quantize")
    facts = signals.facts
    decisions = decide(recipe, signals, len(decoder_layers(base.model)[1]), spec.seed)
    kept = [facts[index] for index in decisions.chosen]
    examples = [signals.contexts.examples(one, kept) for one in signals.contexts.trained]
    weights = decisions.weights[decisions.chosen]
    if len(examples[0]) != len(kept):  # texts, packed into windows
        weights = torch.ones(len(examples[0]), dtype=weights.dtype)
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
    )
    loan = borrow(base)
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
        key, prepare = recipe.adapter.start_key(setting), partial(recipe.adapter.prepare, setting)
        prepared = prepare() if key is None else signals.start(key, prepare)
        torch.manual_seed(spec.seed)
        model = recipe.adapter.attach(setting, prepared).eval()
    if base.checkpointing:
        # PEFT lets embeddings require gradients then; only reentrant checkpoints need it.
        unwrap(model).disable_input_require_grads()
    reach = reach_notes(base.model, decisions.layers, model)
    decisions = replace(decisions, notes=(*decisions.notes, Notes(warnings=tuple(warned)), *reach))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        name = part_name(recipe.adapter)
        raise UsageError(f"adapter '{name}' leaves nothing to train: no parameter requires grad")
    loan.settle()
    difference = init_difference(base, model, plan)
    fuse_projections(model, partial(_probe_logits, model, plan))
    tolerance = identity_tolerance(base, plan)
    return Attached(model, loan, setting, prepared, decisions, plan, difference, tolerance)


def init_difference(base: Base, model: nn.Module, plan: TrainingPlan) -> float:
    """Return max |logit difference| to the base before training, over a few training facts."""
    with torch.no_grad():
        ours, theirs = _probe_logits(model, plan), _probe_logits(base.model, plan)
    return float((ours.float() - theirs.float()).abs().max())


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


def _probe_logits(model: nn.Module, plan: TrainingPlan) -> Tensor:
    examples = plan.contexts[0]
    indices = list(range(min(PROBES, len(examples))))
    return target_logits(model, collate(examples, indices, plan.pad))
