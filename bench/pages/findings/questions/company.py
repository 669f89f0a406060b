"""Question 3: do facts disturb each other at equal exposures?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.pages.findings.answer import Answer, Question
from bench.pages.findings.claim import Claim, Effect
from bench.pages.findings.effects import mean_of
from bench.pages.findings.evidence import Evidence
from bench.pages.findings.pictures import shares
from bench.pages.findings.questions.planned_settings import EPOCHS_BAR, ONE_RATE
from bench.pages.findings.verdict import Unit, Verdict
from bench.report.statistics.intervals import Floats
from bench.studies.interference.compare import strayed
from bench.studies.interference.store import FactOutcome, Trained
from tasks.context import Context

QUESTION = Question(
    key="company",
    title="Facts among facts",
    asks="Does a fact that is trained among 512 others take more exposures to learn than alone?",
    compared="Exposures to learn, of three, of the same unknown facts among 512 less alone, with "
    "LoRA, one fact to a step and each fact seen equally often, paired by fact and seed.",
    source="2405.18292: facts interfere with one another",
    expected=Verdict.YES,
    grids=(),
    study="nox -s study -- interference --task 'fictional[n=2000,seed=1]' --sizes 1,8,64,512 "
    "--measured 128 --exposures 3 --batch-size 1 --seeds 0-7 --lr 1e-3 --out results/findings",
)
MOST = 512


@dataclass(frozen=True)
class Company:
    """Facts that were trained among others, equally often, and the same facts before and alone.

    Attributes:
        setting: Base, task and number of facts that are measured.
        exposures: How often each fact was trained.
        seeds: In their order.
        facts: Ids of the unknown facts that every training of these seeds measured.
        before: What the untrained base answers, by fact.
        among: By size, by seed, by fact; size 1 is alone.
    """

    setting: str
    exposures: int
    seeds: tuple[int, ...]
    facts: tuple[str, ...]
    before: dict[str, FactOutcome]
    among: dict[int, dict[int, dict[str, FactOutcome]]]

    def of(self, size: int, measure: Callable[[str, FactOutcome], float]) -> Floats:
        """Return a measure of facts in groups of a size, `[seeds, facts]`."""
        found = self.among[size]
        return np.array(
            [[measure(fact, found[seed][fact]) for fact in self.facts] for seed in self.seeds]
        )


def answer(evidence: Evidence) -> Answer:
    """Compare exposures to learn among many with those alone."""
    found = [one for one in companies(evidence.trainings) if MOST in one.among]
    measured = [tuple(_shares(one)) for one in found]
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "A fact takes more exposures to learn among 512 than alone",
                tuple(_more(one, MOST) for one in found),
                EPOCHS_BAR,
                advice={
                    Verdict.YES: "Expect a fact to need more exposures, the more facts you train",
                    Verdict.NO: "Do not train facts one by one for fear of interference: among "
                    "512 they need no more exposures",
                },
            ),
        ),
        details=tuple(
            _more(one, size) for one in found for size in one.among if size not in (1, MOST)
        ),
        measured=tuple(effect for effects in measured for effect in effects),
        caveats=(
            "It does not say whether interference or the number of steps between two exposures "
            "is the cause.",
            "A fact that is not learned counts as one exposure more than all.",
        ),
        pictures=tuple(
            shares("company", "Facts alone and among others", one.setting, effects)
            for one, effects in zip(found, measured, strict=True)
        ),
    )


def _more(one: Company, size: int) -> Effect:
    name = f"among {size} - alone"
    table = one.of(size, _exposures) - one.of(1, _exposures)
    return mean_of(name, one.setting, table, Unit.EPOCHS)


def _exposures(_: str, outcome: FactOutcome) -> float:
    assert outcome.epochs_to_learn is not None, "it was trained"
    return float(outcome.epochs_to_learn)


def _shares(one: Company) -> Iterator[Effect]:
    """Yield what is right and what strayed after demonstrations, and what is confused, by size."""

    def away(fact: str, outcome: FactOutcome) -> float:
        return float(bool(strayed(one.before[fact], outcome, Context.FEW_SHOT)))

    measures: dict[str, Callable[[str, FactOutcome], float]] = {
        "right in the trained prompt": lambda _, outcome: float(outcome.plain.correct),
        "strayed, after demonstrations": away,
        "answered with another fact's target": lambda _, o: float(bool(o.plain.confused)),
    }
    for name, measure in measures.items():
        for size in sorted(one.among):
            said = "alone" if size == 1 else f"among {size}"
            yield mean_of(f"{name}, {said}", one.setting, one.of(size, measure), Unit.PERCENT)


def companies(trainings: Sequence[Trained]) -> Iterator[Company]:
    """Put trainings of a base and task at equal exposures together."""
    groups: dict[tuple[str, str, int], list[Trained]] = defaultdict(list)
    untrained = [trained for trained in trainings if not trained.record.spec.cell.facts]
    for trained in trainings:
        cell = trained.record.spec.cell
        planned = cell.facts and cell.task == ONE_RATE.task and cell.batch_size == 1
        # Groups that were trained for as many updates as a fact alone saw each fact less often.
        if planned and trained.record.spec.max_steps == cell.facts * cell.epochs:
            groups[cell.model, cell.task, cell.epochs].append(trained)
    for (model, task, exposures), group in groups.items():
        before = {
            fact.fact_id: fact
            for base in untrained
            if (base.record.spec.cell.model, base.record.spec.cell.task) == (model, task)
            for fact in base.outcomes
        }
        among: dict[int, dict[int, dict[str, FactOutcome]]] = {}
        for trained in group:
            cell = trained.record.spec.cell
            by_fact = among.setdefault(cell.facts, {}).setdefault(cell.seed, {})
            by_fact.update((fact.fact_id, fact) for fact in trained.outcomes)
        yield _company(f"{model} on {task}", exposures, before, among)


def _company(
    about: str,
    exposures: int,
    before: dict[str, FactOutcome],
    among: dict[int, dict[int, dict[str, FactOutcome]]],
) -> Company:
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in among.values())))
    measured = [set(by_seed[seed]) for by_seed in among.values() for seed in seeds]
    unknown = {fact for fact, outcome in before.items() if not outcome.few_shot.correct}
    facts = tuple(sorted(unknown.intersection(*measured)))
    setting = f"{about}, {len(facts)} facts, {exposures} exposures"
    return Company(setting, exposures, tuple(seeds), facts, before, among)
