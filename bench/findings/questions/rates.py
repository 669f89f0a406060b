"""How much of the differences between adapters survives tuning the learning rate?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bench.findings import pictures
from bench.findings.answer import POINTS, Answer, Claim, Effect, Needs, Question, Verdict, present
from bench.findings.beside import against_reference
from bench.findings.effects import between, mean_of, spread_table
from bench.findings.evidence import Evidence, Setting, most_complete, shared_seeds, values
from bench.report.statistics import Floats

QUESTION = Question(
    key="rates",
    title="Differences between adapters, and the learning rate",
    asks="How much of the differences between adapters survives tuning the learning rate?",
    compared="Every adapter is compared with lora, paired by fact and seed: once each at its "
    "default rate, once each at the best of the same rates, chosen with one seed on facts that are "
    "not reported. The spread is the standard deviation between the adapters' accuracies, with a "
    "delta-method interval; chance alone makes it more than 0, at both kinds of rates alike.",
    source="2602.04998: tuned, LoRA's variants tie within 1 to 2 points",
    expected=Verdict.NO,
    grids=("adapters", "defaults", "fictional", "nq_open", "gemma"),
)


def answer(evidence: Evidence) -> Answer:
    """Compare adapters at tuned and at default rates, and the spreads."""
    found = [setting for setting in evidence.settings if len(setting.adapters()) > 1]
    tuned = [setting for setting in found if setting.tuned]
    default = [setting for setting in found if not setting.tuned]
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "At tuned rates some adapter still differs from lora",
                tuple(against_reference(tuned)),
                POINTS,
                needs=Needs.ANY,
                two_sided=True,
                advice={
                    Verdict.NO: "Tune the learning rate rather than choose an adapter: at tuned "
                    "rates no adapter differs from lora by what counts",
                    Verdict.YES: "The choice of adapter counts even at tuned learning rates: see "
                    "which differ",
                },
            ),
            Claim(
                "At default rates some adapter differs from lora",
                tuple(against_reference(default)),
                POINTS,
                needs=Needs.ANY,
                two_sided=True,
            ),
            Claim(
                "Tuning brings the adapters closer together",
                present(_closer(a, b) for a in default for b in tuned if _same_task(a, b)),
                POINTS,
            ),
        ),
        measured=tuple(_spreads(found)),
        caveats=tuple(_caveats(found)),
        pictures=tuple(pictures.of_adapters(found)),
    )


def _same_task(first: Setting, second: Setting) -> bool:
    keys = ("model", "task", "facts", "epochs", "batch_size")
    return all(getattr(first.spec, key) == getattr(second.spec, key) for key in keys)


def _tables(setting: Setting, methods: Sequence[str]) -> list[Floats]:
    """Return the answered facts of methods in the seeds that all have, `[seeds, facts]` each."""
    rows = [setting.rows[method] for method in methods]
    seeds = shared_seeds(rows)
    return [values(row, seeds) for row in rows] if seeds else []


def _covered(setting: Setting) -> list[str]:
    complete = most_complete(setting.adapters().values())
    return [method for method, row in setting.adapters().items() if row in complete]


def _closer(default: Setting, tuned: Setting) -> Effect | None:
    """Return the spread at default rates minus that at tuned ones, of the adapters both have."""
    methods = [method for method in _covered(default) if method in _covered(tuned)]
    tables = [_tables(setting, methods) for setting in (default, tuned)]
    if len(methods) < 2 or not all(tables):
        return None
    first, second = (spread_table(table) for table in tables)
    seeds = min(len(first), len(second))
    joined = np.concatenate([first[:seeds], second[:seeds]], axis=1)
    places = np.arange(joined.shape[1])
    name = f"spread of {len(methods)} adapters, default - tuned"
    at_default = places < first.shape[1]
    return between(name, tuned.title, joined, at_default, ~at_default)


def _spreads(settings: Sequence[Setting]) -> Iterator[Effect]:
    for setting in settings:
        tables = _tables(setting, _covered(setting))
        if len(tables) > 1:
            name = f"spread of {len(tables)} adapters, standard deviation"
            yield mean_of(name, setting.title, spread_table(tables))


def _caveats(settings: Sequence[Setting]) -> Iterator[str]:
    yield "Default rates are of this harness, found on the embedded model: no worst case."
    for setting in settings:
        rates = ", ".join(
            f"{method} {row.spec.learning_rate:g}" for method, row in setting.adapters().items()
        )
        yield f"{setting.title}: learning rates {rates}."
