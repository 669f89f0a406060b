"""Does joint training interfere, at equal exposures and at equal updates?"""

from __future__ import annotations

from collections.abc import Iterator

from bench.findings import pictures
from bench.findings.answer import POINTS, Answer, Claim, Effect, Question, Verdict
from bench.findings.company import Company
from bench.findings.effects import paired, paired_nats
from bench.findings.evidence import Evidence
from bench.studies.interference_plan import Regime

QUESTION = Question(
    key="company",
    title="Facts alone and together",
    asks="Does joint training interfere, at equal exposures and at equal updates?",
    compared="The same facts are trained each alone and in groups of K, and compared fact by fact: "
    "accuracy alone minus accuracy together. At equal exposures every fact is seen as often as "
    "alone; at equal updates the group takes as many optimizer steps as one fact. The largest "
    "group decides.",
    source="2405.18292: facts that are learned together interfere",
    expected=Verdict.YES,
    grids=("interference",),
)


def answer(evidence: Evidence) -> Answer:
    """Compare the largest groups in both regimes; smaller ones and likelihoods beside."""
    found = evidence.companies
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "Facts are learned worse together than alone, at equal exposures",
                tuple(_largest(found, Regime.EXPOSURES)),
                POINTS,
                advice={
                    Verdict.YES: "Facts take room from one another: a set learned together needs "
                    "more epochs than one fact alone",
                    Verdict.NO: "Facts learned together lose nothing that counts if each is seen "
                    "as often: scale optimizer steps with the number of facts",
                },
            ),
            Claim(
                "Facts are learned worse together than alone, at equal updates",
                tuple(_largest(found, Regime.UPDATES)),
                POINTS,
                advice={
                    Verdict.YES: "Count training in epochs, not in optimizer steps: in the steps "
                    "that teach one fact, many together are learned far worse",
                },
            ),
        ),
        details=tuple(_smaller(found)),
        measured=tuple(_likelihoods(found)),
        caveats=tuple(_caveats(found)),
        pictures=tuple(pictures.of_companies(found)),
    )


def _largest(companies: tuple[Company, ...], regime: Regime) -> Iterator[Effect]:
    for company in companies:
        for size in company.sizes[-1:]:
            yield from interference(company, size, regime)


def _smaller(companies: tuple[Company, ...]) -> Iterator[Effect]:
    for company in companies:
        for size in company.sizes[:-1]:
            for regime in _regimes(company, size):
                yield from interference(company, size, regime)


def _regimes(company: Company, size: int) -> tuple[Regime, ...]:
    """Return the regimes that differ: up to the batch size both are one training."""
    return tuple(Regime) if size > company.spec.batch_size else (Regime.EXPOSURES,)


def interference(company: Company, size: int, regime: Regime) -> Iterator[Effect]:
    """Return accuracy alone minus accuracy together, where any fact has both."""
    found = company.pairs(size, regime, lambda outcome: float(outcome.correct))
    if found is not None:
        alone, joint = found
        yield paired(f"alone - {size} together, {regime}", company.title, alone, joint)


def _likelihoods(companies: tuple[Company, ...]) -> Iterator[Effect]:
    for company in companies:
        for size in company.sizes:
            for regime in _regimes(company, size):
                found = company.pairs(size, regime, lambda outcome: outcome.nll)
                if found is not None:
                    alone, joint = found
                    name = f"NLL of the target, {size} together - alone, {regime}"
                    yield paired_nats(name, company.title, joint, alone)


def _caveats(companies: tuple[Company, ...]) -> Iterator[str]:
    for company in companies:
        spec = company.spec
        yield (
            f"{company.title}: alone, a fact takes {spec.epochs} updates of one fact at rate "
            f"{spec.learning_rate:g}; batches hold {spec.batch_size}."
        )
