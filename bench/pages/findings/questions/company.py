"""Question 3: do facts disturb each other at equal exposures?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.pages.findings.answer import Answer, Picture, Question
from bench.pages.findings.claim import Claim, Effect
from bench.pages.findings.effects import Flags, mean_of, paired
from bench.pages.findings.evidence import Evidence
from bench.pages.findings.pictures import means
from bench.pages.findings.questions.company_facts import (
    ALONE,
    EXPOSURES,
    METHOD,
    MOST,
    OTHERS,
    SEEDS,
    YEARS,
    Company,
    companies,
)
from bench.pages.findings.questions.planned_settings import EPOCHS_BAR
from bench.pages.findings.verdict import Unit, Verdict
from bench.report.statistics.intervals import Floats
from bench.studies.interference.compare import strayed
from bench.studies.interference.store import FactOutcome
from tasks.context import Context

QUESTION = Question(
    key="company",
    title="Facts among facts",
    asks="Does a fact that is trained among 64 take more exposures to learn than alone?",
    compared="After how many of six exposures a fact is learned among 64 facts, less alone: the "
    "same unknown facts, with LoRA, one fact to a step, at a constant learning rate that was "
    "chosen on other facts, paired by fact and seed.",
    source="2405.18292: facts interfere with one another",
    expected=Verdict.YES,
    grids=(),
    study="nox -s study -- interference --task 'fictional[n=2000,seed=1]' --sizes 1,8,64 "
    "--measured 128 --exposures 6 --batch-size 1 --schedule constant --warmup 0 --seeds 0-7 "
    "--lr 1e-3 --regimes exposures --out results/findings",
    method=METHOD,
)
ALL = "all facts"


@dataclass(frozen=True)
class Measure:
    """A number of each fact, from what was answered before and after training.

    Attributes:
        name: What it is.
        of: Returns it, given the outcomes before and after.
        unit: Of a mean.
        change: Of a difference.
        needs_others: Whether a fact alone cannot have it.
    """

    name: str
    of: Callable[[FactOutcome, FactOutcome], float]
    unit: Unit = Unit.PERCENT
    change: Unit = Unit.POINTS
    needs_others: bool = False

    def table(self, one: Company, size: int, facts: Flags | None = None) -> Floats:
        """Return it of some facts, or all, in groups of a size, `[seeds, facts]`."""
        found = one.among[size]
        values = [
            [float(self.of(one.before[fact], found[seed][fact])) for fact in one.facts]
            for seed in one.seeds
        ]
        return np.array(values)[:, slice(None) if facts is None else facts]

    def _of(self, one: Company, size: int, kind: str) -> Floats:
        return self.table(one, size, None if kind == ALL else one.kinds()[kind])

    def mean(self, one: Company, size: int, kind: str = ALL) -> Effect:
        """Return its mean over the facts of a kind, in groups of a size."""
        name, table = _of_kind(f"{self.name}, {_in(size)}", kind), self._of(one, size, kind)
        return mean_of(name, one.setting, table, self.unit)

    def difference(self, one: Company, size: int, kind: str = ALL, less: int = ALONE) -> Effect:
        """Return how much more it is in groups of a size than alone, or in groups of `less`."""
        name = _of_kind(f"{self.name}, {_in(size)} - {_in(less)}", kind)
        tables = [self._of(one, n, kind) for n in (size, less)]
        if self.change is Unit.POINTS:
            return paired(name, one.setting, *tables)
        return mean_of(name, one.setting, tables[0] - tables[1], self.change)


def _exposures(_: FactOutcome, after: FactOutcome) -> float:
    assert after.epochs_to_learn is not None, "it was trained"
    return after.epochs_to_learn


TO_LEARN = Measure("exposures to learn", _exposures, Unit.DOSE, Unit.EPOCHS)
RIGHT = Measure("right in the trained prompt", lambda _, after: after.plain.correct)
SHOWN = Measure("right after demonstrations", lambda _, after: after.few_shot.correct)
AWAY = Measure(
    "strayed, after demonstrations",
    lambda before, after: bool(strayed(before, after, Context.FEW_SHOT)),
)
CONFUSED = Measure(
    "answered with another fact's target",
    lambda _, after: bool(after.plain.confused),
    needs_others=True,
)
NLL = Measure(
    "NLL of the target in the trained prompt", lambda _, a: a.plain.nll, Unit.NATS, Unit.NATS
)


def answer(evidence: Evidence) -> Answer:
    """Compare exposures to learn among many with those alone."""
    found = list(companies(evidence.trainings))
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "A fact takes more exposures to learn among 64 than alone",
                "exposures to learn",
                tuple(_decisive(one) for one in found),
                EPOCHS_BAR,
                planned={one.setting: SEEDS for one in found},
                advice={
                    Verdict.YES: _expected(found),
                    Verdict.NO: "Do not train facts one by one for fear of interference: among "
                    "64 they need hardly more exposures",
                },
            ),
        ),
        details=tuple(effect for one in found for effect in _details(one)),
        measured=tuple(effect for one in found for effect in _measured(one)),
        caveats=(
            "The tables count exposures as epochs: in one epoch each fact is trained once.",
            "It does not say what the cause is: the number of other facts, the steps in all and "
            "the steps between two exposures change together. A fact alone is read right after "
            "each exposure; in a group it is read just before its next one, or at the end of "
            "training, and must still be right then.",
            "The learning rate was chosen for many facts, not for one alone. A fact alone has no "
            "other question to be told apart from.",
            "A fact that is not learned counts as if it were learned one exposure after the last.",
        ),
        pictures=tuple(picture for one in found for picture in _pictures(one)),
    )


def _decisive(one: Company) -> Effect:
    return replace(TO_LEARN.difference(one, MOST), name=f"among {MOST} - alone")


def _expected(found: Sequence[Company]) -> str:
    """Return the advice of a yes, which names years where they alone need more."""
    said = "to need more exposures among dozens of others than alone"
    years, others = (
        [
            end
            for one in found
            if kind in one.kinds()
            for end in [TO_LEARN.difference(one, MOST, kind).estimate.interval]
            if end is not None
        ]
        for kind in (YEARS, OTHERS)
    )
    differ = all(end.low > 0 for end in years) and all(end.high < EPOCHS_BAR for end in others)
    if not (years and others and differ):
        return f"Expect a fact {said}"
    return f"Expect facts that ask for years {said}, and those of other kinds not to"


def _details(one: Company) -> Iterator[Effect]:
    """Yield what was planned beside the claim, and then the same of each kind of facts."""
    further = [size for size in one.among if size not in (ALONE, MOST)]
    yield from (TO_LEARN.difference(one, size) for size in further)
    yield from (TO_LEARN.difference(one, MOST, less=size) for size in further)
    yield from (measure.difference(one, MOST) for measure in (RIGHT, NLL))
    for kind in one.kinds():
        yield from (TO_LEARN.difference(one, size, kind) for size in (*further, MOST))
        yield from (TO_LEARN.difference(one, MOST, kind, less=size) for size in further)
        yield from (measure.difference(one, MOST, kind) for measure in (RIGHT, SHOWN, AWAY, NLL))


def _measured(one: Company) -> Iterator[Effect]:
    """Yield the means of all facts that were planned, and then those of each kind."""
    for measure in (TO_LEARN, RIGHT, AWAY, CONFUSED, NLL):
        yield from (measure.mean(one, size) for size in _sizes(one, measure))
    for measure in (TO_LEARN, RIGHT, SHOWN, AWAY, CONFUSED, NLL):
        for kind in one.kinds():
            yield from (measure.mean(one, size, kind) for size in _sizes(one, measure))


def _sizes(one: Company, measure: Measure) -> list[int]:
    return [size for size in one.among if size != ALONE or not measure.needs_others]


def _pictures(one: Company) -> Iterator[Picture]:
    """Yield exposures to learn by kind, and the shares by kind, a series for each size."""
    kinds = tuple(one.kinds()) or (ALL,)
    groups = dict.fromkeys((ALL, *kinds))
    yield means(
        "company-kinds",
        "Exposures to learn, alone and among others",
        one.setting,
        {
            _in(size): {kind: TO_LEARN.mean(one, size, kind) for kind in groups}
            for size in one.among
        },
        outcome="exposures to learn",
        most=EXPOSURES + 1,
    )
    shares = (RIGHT, SHOWN, AWAY, CONFUSED)
    yield means(
        "company",
        "Facts alone and among others",
        one.setting,
        {
            _in(size): {
                f"{measure.name}: {kind}": measure.mean(one, size, kind)
                for measure in shares
                if size in _sizes(one, measure)
                for kind in kinds
            }
            for size in one.among
        },
    )


def _in(size: int) -> str:
    return "alone" if size == ALONE else f"among {size}"


def _of_kind(name: str, kind: str) -> str:
    return name if kind == ALL else f"{name}, {kind}"
