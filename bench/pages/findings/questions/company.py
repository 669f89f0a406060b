"""Question 3: do facts disturb each other at equal exposures?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.config.types import Schedule
from bench.pages.findings.answer import Answer, Question
from bench.pages.findings.claim import Claim, Effect
from bench.pages.findings.effects import mean_of
from bench.pages.findings.evidence import Evidence
from bench.pages.findings.pictures import means
from bench.pages.findings.questions.planned_settings import EPOCHS_BAR, ONE_RATE
from bench.pages.findings.verdict import Unit, Verdict
from bench.report.statistics.intervals import Floats
from bench.store.records import Status
from bench.studies.interference.compare import strayed
from bench.studies.interference.store import FactOutcome, Trained
from tasks.context import Context

QUESTION = Question(
    key="company",
    title="Facts among facts",
    asks="Does a fact that is trained among 64 take more exposures to learn than alone?",
    compared="After how many of six exposures a fact is learned among 64 facts, less alone: the "
    "same unknown facts, with LoRA, one fact to a step, at a constant learning rate, paired by "
    "fact and seed.",
    source="2405.18292: facts interfere with one another",
    expected=Verdict.YES,
    grids=(),
    study="nox -s study -- interference --task 'fictional[n=2000,seed=1]' --sizes 1,8,64 "
    "--measured 128 --exposures 6 --batch-size 1 --schedule constant --warmup 0 --seeds 0-7 "
    "--lr 1e-3 --regimes exposures --out results/findings",
)
ALONE, MOST = COMPARED = 1, 64
EXPOSURES, SEEDS = 6, 8


@dataclass(frozen=True)
class Company:
    """Facts that were trained among others, equally often, and the same facts before and alone.

    Attributes:
        setting: Base, task, number of facts that are measured, exposures and learning rate.
        exposures: How often each fact was trained.
        seeds: In their order.
        facts: Ids of the unknown facts.
        before: What the untrained base answers, by fact.
        among: By size, by seed, by fact; size 1 is alone. It has `COMPARED`, and the sizes that
            every one of these seeds measured.
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
    found = list(companies(evidence.trainings))
    measured = [_shares(one) for one in found]
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "A fact takes more exposures to learn among 64 than alone",
                "exposures to learn",
                tuple(_more(one, MOST) for one in found),
                EPOCHS_BAR,
                planned={one.setting: SEEDS for one in found},
                advice={
                    Verdict.YES: "Expect a fact to need more exposures among dozens of "
                    "others than alone",
                    Verdict.NO: "Do not train facts one by one for fear of interference: among "
                    "64 they need hardly more exposures",
                },
            ),
        ),
        details=tuple(
            _more(one, size) for one in found for size in one.among if size not in COMPARED
        ),
        measured=(
            *(
                effect
                for series in measured
                for kind in series.values()
                for effect in kind.values()
            ),
            *(effect for one in found for effect in _likelihoods(one)),
        ),
        caveats=(
            "It does not say whether interference or the number of steps between two exposures "
            "is the cause.",
            "A fact that is not learned counts as if it were learned one exposure after the last.",
        ),
        pictures=tuple(
            means("company", "Facts alone and among others", one.setting, series)
            for one, series in zip(found, measured, strict=True)
        ),
    )


def _more(one: Company, size: int) -> Effect:
    name = f"among {size} - alone"
    table = one.of(size, _exposures) - one.of(ALONE, _exposures)
    return mean_of(name, one.setting, table, Unit.EPOCHS)


def _exposures(_: str, outcome: FactOutcome) -> float:
    assert outcome.epochs_to_learn is not None, "it was trained"
    return float(outcome.epochs_to_learn)


def _shares(one: Company) -> dict[str, dict[str, Effect]]:
    """Return what is right, what strayed after demonstrations and what is confused, by size."""

    def away(fact: str, outcome: FactOutcome) -> float:
        return float(bool(strayed(one.before[fact], outcome, Context.FEW_SHOT)))

    measures: dict[str, Callable[[str, FactOutcome], float]] = {
        "right in the trained prompt": lambda _, outcome: float(outcome.plain.correct),
        "strayed, after demonstrations": away,
        "answered with another fact's target": lambda _, o: float(bool(o.plain.confused)),
    }
    return {
        _company_of(size): {
            name: mean_of(
                f"{name}, {_company_of(size)}", one.setting, one.of(size, measure), Unit.PERCENT
            )
            for name, measure in measures.items()
        }
        for size in sorted(one.among)
    }


def _likelihoods(one: Company) -> Iterator[Effect]:
    """Yield how unlikely the targets are in the trained prompt, by size."""
    for size in sorted(one.among):
        table = one.of(size, lambda _, outcome: outcome.plain.nll)
        name = f"NLL of the target in the trained prompt, {_company_of(size)}"
        yield mean_of(name, one.setting, table, Unit.NATS)


def _company_of(size: int) -> str:
    return "alone" if size == ALONE else f"among {size}"


def companies(trainings: Sequence[Trained]) -> Iterator[Company]:
    """Put trainings of a base at equal exposures and one rate together, where facts are shared."""
    groups: dict[tuple[str, str, float], list[Trained]] = defaultdict(list)
    done = [trained for trained in trainings if trained.record.status is Status.DONE]
    untrained = [trained for trained in done if not trained.record.spec.cell.facts]
    for trained in done:
        cell = trained.record.spec.cell
        # A cosine, or a warm-up, gives a fact among many lower rates than a fact alone.
        level = cell.schedule is Schedule.CONSTANT and cell.warmup == 0
        seen = (cell.task, cell.batch_size, cell.epochs) == (ONE_RATE.task, 1, EXPOSURES)
        # Groups that were trained for as many updates as a fact alone saw each fact less often.
        equal = trained.record.spec.max_steps == cell.facts * cell.epochs
        if cell.facts and seen and level and equal:
            groups[cell.model, cell.recipe, cell.learning_rate].append(trained)
    for (model, _, rate), group in groups.items():
        before = {
            fact.fact_id: fact
            for base in untrained
            if (base.record.spec.cell.model, base.record.spec.cell.task) == (model, ONE_RATE.task)
            for fact in base.outcomes
        }
        among: dict[int, dict[int, dict[str, FactOutcome]]] = {}
        for trained in group:
            cell = trained.record.spec.cell
            by_fact = among.setdefault(cell.facts, {}).setdefault(cell.seed, {})
            by_fact.update((fact.fact_id, fact) for fact in trained.outcomes)
        found = _company(f"{model} on {ONE_RATE.task}", f"rate {rate:g}", before, among)
        if found is not None:
            yield found


def _company(
    about: str,
    rate: str,
    before: dict[str, FactOutcome],
    among: dict[int, dict[int, dict[str, FactOutcome]]],
) -> Company | None:
    """Compare seeds that measured every unknown fact alone and among 64; None where none did."""
    unknown = {fact for fact, outcome in before.items() if not outcome.few_shot.correct}
    measured = {
        size: {seed for seed, by_fact in by_seed.items() if unknown <= by_fact.keys()}
        for size, by_seed in among.items()
    }
    seeds = set.intersection(*(measured.get(size, set()) for size in COMPARED))
    if not unknown or not seeds:
        return None
    facts = tuple(sorted(unknown))
    setting = f"{about}, {len(facts)} facts, {EXPOSURES} exposures, {rate}"
    # A size that is not decisive, and that some seeds lack yet, must not take these seeds away.
    whole = {size: among[size] for size in sorted(among) if seeds <= measured[size]}
    return Company(setting, EXPOSURES, tuple(sorted(seeds)), facts, before, whole)
