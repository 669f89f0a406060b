"""Question 3: do facts disturb each other at equal exposures?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.config.types import Schedule
from bench.pages.findings.answer import Answer, Question
from bench.pages.findings.claim import Claim, Effect
from bench.pages.findings.effects import Flags, mean_of, paired
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
    method="lora",
)
ALONE, MOST = COMPARED = 1, 64
EXPOSURES, SEEDS = 6, 8
CONFUSED = "answered with another fact's target"
YEARS, OTHERS = "facts that ask for years", "facts of other kinds"

Measure = Callable[[str, FactOutcome], float]
"""A number from the id of a fact and what came of it."""


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

    def of(self, size: int, measure: Measure) -> Floats:
        """Return a measure of facts in groups of a size, `[seeds, facts]`."""
        found = self.among[size]
        return np.array(
            [[measure(fact, found[seed][fact]) for fact in self.facts] for seed in self.seeds]
        )


def answer(evidence: Evidence) -> Answer:
    """Compare exposures to learn among many with those alone."""
    found = list(companies(evidence.trainings))
    measured = [_shares(one) for one in found]
    by_kind = [_by_kind(one) for one in found]
    kinds = [effect for one in found for effect in _of_kinds(one, MOST)]
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
                    Verdict.YES: _expected(kinds),
                    Verdict.NO: "Do not train facts one by one for fear of interference: among "
                    "64 they need hardly more exposures",
                },
            ),
        ),
        details=(
            *(_more(one, size) for one in found for size in one.among if size not in COMPARED),
            *(effect for one in found for size in one.among for effect in _of_kinds(one, size)),
            *(effect for one in found for effect in _differences(one)),
        ),
        measured=(
            *(
                effect
                for series in (*by_kind, *measured)
                for group in series.values()
                for effect in group.values()
            ),
            *(effect for one in found for effect in _likelihoods(one)),
        ),
        caveats=(
            "It does not say whether interference or the number of steps between two exposures "
            "is the cause.",
            "Facts of all kinds are trained together. Those that ask for years are answered with a "
            "number of four digits, so their answers are alike.",
            "A fact that is not learned counts as if it were learned one exposure after the last.",
        ),
        pictures=(
            *(
                means(
                    "company-kinds",
                    "Exposures to learn, alone and among others",
                    one.setting,
                    series,
                    outcome="exposures to learn",
                    most=EXPOSURES + 1,
                )
                for one, series in zip(found, by_kind, strict=True)
            ),
            *(
                means("company", "Facts alone and among others", one.setting, series)
                for one, series in zip(found, measured, strict=True)
            ),
        ),
    )


def _expected(kinds: Sequence[Effect]) -> str:
    """Return the advice of a yes, which names years where they alone carry it."""
    said = "to need more exposures among dozens of others than alone"
    years = [effect for effect in kinds if effect.name.endswith(YEARS)]
    others = [effect.estimate.interval for effect in kinds if effect.name.endswith(OTHERS)]
    if years and all(end is not None and end.high < EPOCHS_BAR for end in others):
        return f"Expect facts that ask for years {said}; those of other kinds need hardly more"
    return f"Expect a fact {said}"


def _more(one: Company, size: int) -> Effect:
    return mean_of(f"among {size} - alone", one.setting, _less_alone(one, size), Unit.EPOCHS)


def _less_alone(one: Company, size: int) -> Floats:
    return one.of(size, _exposures) - one.of(ALONE, _exposures)


def _kinds(one: Company) -> dict[str, Flags]:
    """Return which facts ask for a year and which do not, if there are both."""
    years = np.array([fact.endswith("_year") for fact in one.facts])
    return {YEARS: years, OTHERS: ~years} if 0 < years.sum() < len(years) else {}


def _of_kinds(one: Company, size: int) -> Iterator[Effect]:
    """Yield how many more exposures facts of each kind take than alone; a fact alone, none."""
    for kind, facts in _kinds(one).items() if size != ALONE else ():
        name, table = f"among {size} - alone, {kind}", _less_alone(one, size)[:, facts]
        yield mean_of(name, one.setting, table, Unit.EPOCHS)


def _by_kind(one: Company) -> dict[str, dict[str, Effect]]:
    """Return exposures to learn by kind of fact, and in each by size."""

    def dose(kind: str, facts: Flags, size: int) -> Effect:
        name = f"exposures to learn, {_company_of(size)}, {kind}"
        return mean_of(name, one.setting, one.of(size, _exposures)[:, facts], Unit.DOSE)

    return {
        kind: {_company_of(size): dose(kind, facts, size) for size in one.among}
        for kind, facts in (_kinds(one) or {"all facts": np.ones(len(one.facts), bool)}).items()
    }


def _exposures(_: str, outcome: FactOutcome) -> float:
    assert outcome.epochs_to_learn is not None, "it was trained"
    return float(outcome.epochs_to_learn)


def _measures(one: Company) -> dict[str, Measure]:
    """Return what is asked of each answer, as 0 or 1."""

    def away(fact: str, outcome: FactOutcome) -> float:
        return float(bool(strayed(one.before[fact], outcome, Context.FEW_SHOT)))

    return {
        "right in the trained prompt": lambda _, outcome: float(outcome.plain.correct),
        "right after demonstrations": lambda _, outcome: float(outcome.few_shot.correct),
        "strayed, after demonstrations": away,
        CONFUSED: lambda _, outcome: float(bool(outcome.plain.confused)),
    }


def _shares(one: Company) -> dict[str, dict[str, Effect]]:
    """Return what is right, what strayed after demonstrations and what is confused, by size."""
    return {
        _company_of(size): {
            name: mean_of(
                f"{name}, {_company_of(size)}", one.setting, one.of(size, measure), Unit.PERCENT
            )
            for name, measure in _measures(one).items()
        }
        for size in one.among
    }


def _differences(one: Company) -> Iterator[Effect]:
    """Yield the differences of shares among 64 less alone, where a fact alone can have them."""
    for name, measure in _measures(one).items():
        if name != CONFUSED:
            both = (one.of(size, measure) for size in (MOST, ALONE))
            yield paired(f"{name}, among {MOST} - alone", one.setting, *both)


def _likelihoods(one: Company) -> Iterator[Effect]:
    """Yield how unlikely the targets are in the trained prompt, by size."""
    for size in one.among:
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
