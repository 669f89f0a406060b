"""The facts of question 3: each trained alone and among others, and asked before and after."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.config.types import Schedule
from bench.pages.findings.effects import Flags
from bench.pages.findings.questions.planned_settings import ASKS_FOR_YEAR, ONE_RATE
from bench.store.records import Status
from bench.studies.interference.store import FactOutcome, Trained

METHOD = "lora"
ALONE, MOST = 1, 64
EXPOSURES, SEEDS = 6, 8
YEARS, OTHERS = "facts that ask for years", "facts of other kinds"


@dataclass(frozen=True)
class Company:
    """Facts that were trained among others, equally often, and the same facts before and alone.

    Attributes:
        setting: Base, task, number of facts that are measured, exposures and learning rate.
        seeds: In their order.
        facts: Ids of the unknown facts.
        before: What the untrained base answers, by fact.
        among: By size, by seed, by fact; size 1 is alone. It has 1 and 64, and the sizes that every
            one of these seeds measured.
    """

    setting: str
    seeds: tuple[int, ...]
    facts: tuple[str, ...]
    before: dict[str, FactOutcome]
    among: dict[int, dict[int, dict[str, FactOutcome]]]

    def kinds(self) -> dict[str, Flags]:
        """Return which facts ask for a year and which do not; no kinds if all do or none."""
        years = np.array([fact.endswith(ASKS_FOR_YEAR) for fact in self.facts])
        return {YEARS: years, OTHERS: ~years} if 0 < years.sum() < len(years) else {}


def companies(trainings: Sequence[Trained]) -> Iterator[Company]:
    """Put trainings of a base with LoRA, as the design has them, together by facts."""
    groups: dict[tuple[str, str, str], list[Trained]] = defaultdict(list)
    done = [trained for trained in trainings if trained.record.status is Status.DONE]
    untrained = [trained for trained in done if not trained.record.spec.cell.facts]
    for trained in done:
        cell = trained.record.spec.cell
        # A cosine, or a warm-up, gives a fact among many lower rates than a fact alone.
        level = cell.schedule is Schedule.CONSTANT and cell.warmup == 0
        seen = (cell.task, cell.batch_size, cell.epochs) == (ONE_RATE.task, 1, EXPOSURES)
        # Groups that were trained for as many updates as a fact alone saw each fact less often.
        equal = trained.record.spec.max_steps == cell.facts * cell.epochs
        design = METHOD, ONE_RATE.rate, ONE_RATE.prompt
        chosen = (cell.method, cell.learning_rate, cell.train_prompt) == design
        if cell.facts and cell.seed < SEEDS and chosen and seen and level and equal:
            groups[cell.model, cell.recipe, cell.dtype].append(trained)
    for (model, recipe, dtype), group in groups.items():
        before = _before(untrained, model)
        among: dict[int, dict[int, dict[str, FactOutcome]]] = {}
        for trained in group:
            cell = trained.record.spec.cell
            by_fact = among.setdefault(cell.facts, {}).setdefault(cell.seed, {})
            by_fact.update((fact.fact_id, fact) for fact in trained.outcomes)
        alike = [key for key in groups if key[0] == model]
        apart = f", {recipe}, {dtype}" if len(alike) > 1 else ""
        found = _company(f"{model} on {ONE_RATE.task}{apart}", before, among)
        if found is not None:
            yield found


def _before(untrained: Sequence[Trained], model: str) -> dict[str, FactOutcome]:
    """Return what a base answers, by fact; where it was asked more than once, a right answer."""
    found: dict[str, FactOutcome] = {}
    for base in untrained:
        cell = base.record.spec.cell
        if (cell.model, cell.task) == (model, ONE_RATE.task):
            for fact in base.outcomes:
                if fact.fact_id not in found or fact.few_shot.correct:
                    found[fact.fact_id] = fact
    return found


def _company(
    about: str,
    before: dict[str, FactOutcome],
    among: dict[int, dict[int, dict[str, FactOutcome]]],
) -> Company | None:
    """Compare seeds that measured every unknown fact alone and among 64; None where none did."""
    unknown = {fact for fact, outcome in before.items() if not outcome.few_shot.correct}
    measured = {
        size: {seed for seed, by_fact in by_seed.items() if unknown <= by_fact.keys()}
        for size, by_seed in among.items()
    }
    seeds = measured.get(ALONE, set()) & measured.get(MOST, set())
    if not unknown or not seeds:
        return None
    facts = tuple(sorted(unknown))
    setting = f"{about}, {len(facts)} facts, {EXPOSURES} exposures, rate {ONE_RATE.rate:g}"
    # A size that is not decisive, and that some seeds lack yet, must not take these seeds away.
    whole = {size: among[size] for size in sorted(among) if seeds <= measured[size]}
    return Company(setting, tuple(sorted(seeds)), facts, before, whole)
