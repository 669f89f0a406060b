"""One planned cell for both sides: the baseline's job is read off our plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cell.attach import Attached, attach
from bench.config.options import RunOptions, build_options
from bench.config.types import DType
from bench.evaluation.responses import budget_for
from bench.evaluation.signals import BaseSignals
from bench.forgetting.drift import CHECKPOINT_SEQUENCES, SEED, SEQUENCES, STARTS, TOKENS
from bench.forgetting.suite import Seen, forget_facts
from bench.inference.contexts import Contexts
from bench.inference.decoding import stop_tokens
from bench.models.copy_on_write import borrow
from bench.models.gguf import dequantised_folder
from bench.models.loading import Base, load_base
from bench.models.registry import EMBEDDED
from bench.pages.performance.baseline.job import Job
from bench.pages.performance.entries import Bench
from bench.planning.grid import plan_grid
from bench.planning.planned_cell import PlannedCell
from bench.store.cost_cache import CostCache
from bench.store.store import ResultsStore
from bench.training.loop import data_order_seed
from methods.adapters.corda import Corda
from methods.calibration import calibration_facts
from methods.parts import Setting
from methods.recipe import part_name
from tasks.base import DataAccess
from tasks.context import Context
from tasks.fact import Fact
from tasks.forgetting.harness import harness_spec
from tasks.forgetting.names import ForgettingKind
from tasks.prompt import fact_text, question_text, target_text

KNOWLEDGE = "elements"
FORGETTING = f"{KNOWLEDGE},{ForgettingKind.DRIFT}"
"""What is measured unless a user asks for something else."""


def options_for(bench: Bench, methods: str, out: Path | None = None) -> RunOptions:
    """Return run options of the bench's size."""
    size = bench.size
    return build_options(
        {
            "methods": methods,
            "tasks": bench.task,
            "models": bench.model,
            "forgetting": FORGETTING,
            "limit": size.facts,
            "epochs": size.epochs,
            "batch_size": size.batch_size,
            "forgetting_limit": size.items,
            "device": bench.device,
            "dtype": bench.dtype,
            "out": out or bench.scratch / "none",
        }
    )


def base_of(bench: Bench, dtype: DType | None = None) -> Base:
    """Load the base to the bench's device; without `dtype` in that of entries that use one."""
    return load_base(bench.model, dtype=dtype or bench.dtype, device=bench.device)


def plan_cell(bench: Bench, method: str, epochs: int | None = None) -> PlannedCell:
    """Plan the one cell of a method; without `epochs`, those of the bench's size."""
    options = options_for(bench, method)
    if epochs is not None:
        options = options.model_copy(update={"epochs": epochs})
    [cell] = plan_grid(options, ResultsStore(options.out))
    return cell


def signals_of(base: Base, cell: PlannedCell) -> BaseSignals:
    """Return signals with an empty cache."""
    return BaseSignals(base, cell.data.facts, cell.data.prompt, CostCache())


def setting_of(base: Base, cell: PlannedCell) -> Setting:
    """Return what a cell's adapter is prepared from: a borrowed base and its facts."""
    return Setting(
        model=borrow(base).model,
        facts=cell.data.facts,
        calibration=cell.calibration,
        layers=None,
        steps=1,
        seed=0,
        signals=signals_of(base, cell),
        base_name=cell.spec.model,
        tokenizer=base.tokenizer,
    )


def attached(base: Base, cell: PlannedCell) -> Attached:
    """Attach a cell's adapter, as a run does."""
    return attach(base, signals_of(base, cell), cell.recipe, cell.spec, cell.calibration)


def model_folder(name: str) -> str:
    """Return the transformers folder of a model: an embedded model's, or the given folder."""
    if name in EMBEDDED:
        return str(dequantised_folder(name, EMBEDDED[name], print))
    return name


@dataclass(frozen=True)
class Choices:
    """What a recipe decided; the baseline is given it without having to compute it.

    Attributes:
        kept: Indices of the facts to train.
        weights: The weight of each of these facts.
        layers: The layers to train; None means all.
    """

    kept: Sequence[int]
    weights: Sequence[float]
    layers: list[int] | None = None


def job_for(bench: Bench, cell: PlannedCell, base: Base, choices: Choices | None = None) -> Job:
    """Return the baseline's job for a cell.

    Args:
        bench: The size of the measurement.
        cell: The planned cell.
        base: The base whose tokenizer is used.
        choices: What the recipe decided; None trains all facts in all layers.
    """
    facts, prompt, spec = cell.data.facts, cell.data.prompt, cell.spec
    choices = choices or Choices(range(len(facts)), [1.0] * len(facts))
    trained = [facts[index] for index in choices.kept]
    task, rows = _forgetting(bench, cell)
    contexts = Contexts(base.tokenizer, prompt)
    return Job(
        model=model_folder(spec.model),
        device=bench.device,
        dtype=spec.dtype,
        method=_usual_name(cell),
        rank=getattr(cell.recipe.adapter, "r", 0),
        layers=choices.layers,
        prompts=[question_text(fact.question) for fact in trained],
        targets=[target_text(fact.target) for fact in trained],
        weights=list(choices.weights),
        epochs=spec.epochs,
        batch_size=spec.batch_size,
        learning_rate=spec.learning_rate,
        seed=spec.seed,
        order_seed=data_order_seed(spec.seed, spec.task),
        calibration=calibration_texts(cell),
        asked_before=asked_before(facts, contexts),
        asked=asked(facts, contexts),
        likely=[(question_text(f.question), target_text(f.target)) for f in facts],
        budget=budget_for(base.tokenizer, facts),
        stops=list(stop_tokens(base.tokenizer)),
        task=task,
        rows=rows,
        drift_starts=drift_starts(base, min(bench.size.items, SEQUENCES)),
        drift_tokens=TOKENS,
        drift_seed=SEED,
        drift_checkpoint=CHECKPOINT_SEQUENCES,
    )


def asked_before(facts: Sequence[Fact], contexts: Contexts) -> list[str]:
    """Return every prompt that a run asks the base, starting with the facts' own questions.

    The base is not asked what nothing is compared with: paraphrases, and contexts that are neither
    trained nor tell what it knows.
    """
    own = [fact.question for fact in facts]
    neighbours = [each.question for fact in facts for each in fact.neighbours]
    return _prompts(contexts, {Context.FEW_SHOT: [*own, *neighbours], contexts.asked: own})


def asked(facts: Sequence[Fact], contexts: Contexts) -> list[str]:
    """Return every prompt that a run asks a trained model, starting with the facts' own."""
    own = [fact.question for fact in facts]
    wanted = {Context.FEW_SHOT: list(own)} | {one: list(own) for one in contexts.available}
    wanted[Context.FEW_SHOT] += [each.question for fact in facts for each in fact.neighbours]
    wanted[contexts.asked] += [text for fact in facts for text in fact.paraphrases]
    return _prompts(contexts, wanted)


def _prompts(contexts: Contexts, wanted: Mapping[Context, Sequence[str]]) -> list[str]:
    return [
        contexts.prompt(context, question)
        for context, questions in wanted.items()
        for question in dict.fromkeys(questions)
    ]


def drift_starts(base: Base, count: int) -> list[list[int]]:
    """Return the first tokens of the texts on which a run measures drift."""
    special: list[int] = base.tokenizer("")["input_ids"]
    words = [base.tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in STARTS]
    return [[*special, words[place % len(words)]] for place in range(count)]


def calibration_texts(cell: PlannedCell) -> list[str]:
    """Return the texts that CorDA calibrates on; none for other adapters."""
    adapter = cell.recipe.adapter
    if not isinstance(adapter, Corda):
        return []
    facts = cell.calibration if adapter.mode == "kpm" else cell.data.facts
    return [fact_text(fact) for fact in calibration_facts(facts, adapter.samples)]


def _usual_name(cell: PlannedCell) -> str:
    adapter = cell.recipe.adapter
    name = part_name(adapter)
    return f"{name}_{adapter.mode}" if isinstance(adapter, Corda) else name


def _forgetting(bench: Bench, cell: PlannedCell) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    seen = Seen(cell.data.facts, cell.calibration)
    facts, prompt, _ = forget_facts(KNOWLEDGE, DataAccess(None), bench.size.items, seen)
    spec = harness_spec(KNOWLEDGE, facts, prompt)
    return spec.config, list(spec.rows)
