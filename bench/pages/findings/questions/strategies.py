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
from bench.store.records import PhaseName

QUESTION = Question(
    key="strategies",
    title="Choosing facts by distance",
    asks="Are the facts that the filter keeps learned sooner than the same facts among as many "
    "that were kept by chance?",
    compared="Epochs to learn, chance less filter, of the facts that both train and that the base "
    "did not answer, with LoRA at one learning rate. Chance keeps other facts with each seed, so a "
    "seed counts as one value, and the interval is Student's over seeds.",
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
                "Facts that the filter keeps are learned sooner than among as many kept by chance",
                "epochs to learn",
                tuple(_on_shared(settings, CHANCE, FILTER)),
                EPOCHS_BAR,
                planned=planned_seeds(settings, SEEDS),
                advice={
                    Verdict.YES: "To learn the facts you keep sooner, choose them with filter",
                    Verdict.NO: "Do not filter facts by distance to learn the others sooner: among "
                    "as many that chance kept they are learned about as soon",
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
        details=tuple(_on_shared(settings, PLAIN, FILTER)),
        measured=tuple(_costs(settings)),
        caveats=(
            "What is left out is not learned. Seconds for each fact learned are those of the whole "
            "training, without what choosing facts took.",
            "A fact that is not learned counts as if it were learned one epoch after the last.",
        ),
    )


def _on_shared(settings: list[Setting], slow: str, fast: str) -> Iterator[Effect]:
    """Compare two methods on the unknown facts that both train, each seed for itself."""
    for setting in settings:
        if {slow, fast} <= set(setting.rows):
            rows = setting.rows[slow], setting.rows[fast]
            seeds = shared_seeds(rows)
            facts = unknown(*rows)
            shared = [_kept(rows[0], seed) & _kept(rows[1], seed) & facts for seed in seeds]
            if seeds and all(found.any() for found in shared):
                differences = _epochs(rows[0], seeds) - _epochs(rows[1], seeds)
                values = [one[flags] for one, flags in zip(differences, shared, strict=True)]
                yield over_seeds(f"{slow} - {fast}", setting.title, values, Unit.EPOCHS)


def _kept(row: Row, seed: int) -> Flags:
    """Return which facts a seed trains, `[facts]`."""
    return values_of(row, (seed,), "kept")[0].astype(np.bool_)


def _epochs(row: Row, seeds: tuple[int, ...]) -> Floats:
    """Return the epochs to learn every fact, `[seeds, facts]`; NaN for what is not trained."""
    return values_of(row, seeds, "epochs_to_learn")


def _costs(settings: list[Setting]) -> Iterator[Effect]:
    """Yield the seconds of training for each unknown fact that was learned in the end."""
    for setting in settings:
        for name in (PLAIN, FILTER, CHANCE, "lora+drop"):
            row = setting.rows.get(name)
            if row is not None:
                learned = _epochs(row, row.seeds)[:, unknown(row)] <= row.spec.epochs
                seconds = [cell.record.phases[PhaseName.TRAIN].seconds for cell in row.cells]
                if learned.any(axis=1).all():
                    counts = learned.sum(axis=1)
                    values = [np.full(n, s / n) for s, n in zip(seconds, counts, strict=True)]
                    about = f"training for each fact that {name} learned"
                    yield over_seeds(about, setting.title, values, Unit.SECONDS)
