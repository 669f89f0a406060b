"""Question 4: does it pay to choose facts by distance?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.pages.findings.answer import Answer, Question
from bench.pages.findings.claim import Claim, Effect
from bench.pages.findings.effects import Flags, over_seeds
from bench.pages.findings.evidence import Evidence, Setting, shared_seeds, values_of
from bench.pages.findings.questions.planned_settings import (
    EPOCHS_BAR,
    ONE_RATE,
    epochs_saved,
    planned_seeds,
    planned_settings,
    unknown,
)
from bench.pages.findings.verdict import Needs, Unit, Verdict
from bench.report.leaderboard.board import Row
from bench.report.statistics.intervals import Floats

QUESTION = Question(
    key="strategies",
    title="Choosing facts by distance",
    asks="Are the facts that the filter keeps learned sooner than the same facts among as many "
    "that were kept at random?",
    compared="Epochs to learn, random choice less filter, of the facts that both train and that "
    "the base did not answer, with LoRA at one learning rate; above zero the filter is sooner. The "
    "random choice keeps other facts with each seed, so a seed counts as one value, the interval "
    "is Student's t over the means of seeds, and n is the fewest facts of any seed.",
    source="2405.18292: filtering facts by distance helps",
    expected=Verdict.YES,
    grids=("strategies", "strategies_more"),
)
PLAIN, FILTER, CHANCE = "lora", "lora+filter", "lora+random_filter"
SEEDS = 12
CONTROLLED = (
    ("lora+uniform", "lora+reweight"),
    ("lora+curriculum[order=mixed]", "lora+curriculum"),
)
"""Strategies that train all facts, each after its control."""


def answer(evidence: Evidence) -> Answer:
    """Compare strategies with their controls by epochs to learn."""
    settings = planned_settings(evidence, ONE_RATE)
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "Facts that the filter keeps are learned sooner than among as many kept at random",
                "epochs to learn",
                tuple(_on_shared(settings, CHANCE, FILTER)),
                EPOCHS_BAR,
                planned=planned_seeds(settings, SEEDS),
                advice={
                    Verdict.YES: "To learn the facts you keep sooner, choose them with filter",
                    Verdict.NO: "Do not expect filter, a rebuilt formula with its default share, "
                    "to make the facts that it keeps quicker to learn: among as many kept at "
                    "random, they are learned about as soon",
                },
            ),
            Claim(
                "Weights or an order by distance let facts be learned sooner than their controls",
                "epochs to learn",
                tuple(e for pair in CONTROLLED for e in epochs_saved(settings, *pair)),
                EPOCHS_BAR,
                needs=Needs.ANY,
            ),
        ),
        details=(
            *_on_shared(settings, PLAIN, FILTER),
            *(e for fewer in (CHANCE, PLAIN) for e in _learned_on_shared(settings, FILTER, fewer)),
        ),
        measured=tuple(_learned(settings)),
        caveats=(
            "What is left out is not trained, so it is hardly ever learned; of what is trained, "
            "the table gives the share that is.",
            "A fact that is not learned counts as if it were learned one epoch after the last.",
        ),
    )


def _on_shared(settings: list[Setting], slow: str, fast: str) -> Iterator[Effect]:
    """Compare epochs to learn of the unknown facts that two methods train, each seed for itself."""
    for setting, rows, shared in _both(settings, slow, fast):
        one, other = (_epochs(row, shared_seeds(rows)) for row in rows)
        values = [found[flags] for found, flags in zip(one - other, shared, strict=True)]
        yield over_seeds(f"{slow} - {fast}", setting.title, values, Unit.EPOCHS)


def _learned_on_shared(settings: list[Setting], more: str, fewer: str) -> Iterator[Effect]:
    """Compare how many of these facts are learned in the end."""
    for setting, rows, shared in _both(settings, more, fewer):
        one, other = (_is_learned(row, shared_seeds(rows)) for row in rows)
        values = [found[flags] for found, flags in zip(one - other, shared, strict=True)]
        name = f"learned in the end of what both train, {more} - {fewer}"
        yield over_seeds(name, setting.title, values, Unit.POINTS)


def _both(
    settings: list[Setting], one: str, other: str
) -> Iterator[tuple[Setting, tuple[Row, Row], list[Flags]]]:
    """Yield where two methods were trained, their rows, and what both train with each seed."""
    for setting in settings:
        if {one, other} <= set(setting.rows):
            rows = setting.rows[one], setting.rows[other]
            seeds, facts = shared_seeds(rows), unknown(*rows)
            shared = [_kept(rows[0], seed) & _kept(rows[1], seed) & facts for seed in seeds]
            if seeds and all(found.any() for found in shared):
                yield setting, rows, shared


def _kept(row: Row, seed: int) -> Flags:
    """Return which facts a seed trains, `[facts]`."""
    return values_of(row, (seed,), "kept")[0].astype(np.bool_)


def _epochs(row: Row, seeds: tuple[int, ...]) -> Floats:
    """Return the epochs to learn every fact, `[seeds, facts]`; NaN for what is not trained."""
    return values_of(row, seeds, "epochs_to_learn")


def _is_learned(row: Row, seeds: tuple[int, ...]) -> Floats:
    """Return 1 where a fact is learned in the end, else 0, `[seeds, facts]`."""
    return (_epochs(row, seeds) <= row.spec.epochs).astype(np.float64)


def _learned(settings: list[Setting]) -> Iterator[Effect]:
    """Yield which share of the unknown facts that a method trains it has learned in the end."""
    for setting in settings:
        for name in (PLAIN, FILTER, CHANCE, "lora+drop"):
            row = setting.rows.get(name)
            if row is not None:
                trained = [_kept(row, seed) & unknown(row) for seed in row.seeds]
                found = zip(_is_learned(row, row.seeds), trained, strict=True)
                values = [learned[flags] for learned, flags in found]
                if all(len(of_seed) for of_seed in values):
                    about = f"learned in the end, of what {name} trains"
                    yield over_seeds(about, setting.title, values, Unit.PERCENT)
