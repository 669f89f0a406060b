"""Does training push some facts away from their targets?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from bench.findings import pictures
from bench.findings.answer import (
    POINTS,
    WIDE_POINTS,
    Answer,
    Claim,
    Effect,
    Needs,
    Question,
    Verdict,
    present,
)
from bench.findings.beside import against_reference
from bench.findings.company import Company
from bench.findings.effects import between, paired, share
from bench.findings.evidence import Evidence, Setting, most_complete, shared_seeds, told, values
from bench.findings.questions.distance import ends_of
from bench.report.board import Row
from bench.report.buckets import AWAY
from bench.report.statistics import Floats
from bench.studies.interference_plan import Regime

QUESTION = Question(
    key="straying",
    title="Facts that training pushes away",
    asks="Does training push some facts away from their target, and at which distances? Is it the "
    "method or the number of facts?",
    compared=f"A fact strayed when its answer is farther from the target after training, by more "
    f"than {AWAY:g}. The share of such facts is tested against five percent; the nearest facts are "
    "compared with the farthest, each adapter with lora, and the same facts trained in a small and "
    "in a large set, in the interference study and in grids of different --limit, if any.",
    source="2405.18292: training moves a part of the facts away, which part depends on distance",
    expected=Verdict.YES,
    grids=("adapters", "interference", "fictional", "nq_open", "gemma"),
)


def answer(evidence: Evidence) -> Answer:
    """Count what moved away: in all, by distance, by method, by the number of facts."""
    trained = [setting for setting in evidence.settings if setting.adapters()]
    found = told(trained)
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "Training pushes more than five percent of the facts away from their targets",
                tuple(_shares(found)),
                POINTS,
            ),
            Claim(
                "The nearest facts are pushed away more often than the farthest",
                tuple(_by_distance(found)),
                WIDE_POINTS,
            ),
            Claim(
                "Some adapter pushes more or fewer facts away than lora",
                tuple(against_reference(found, strayed)),
                POINTS,
                needs=Needs.ANY,
                two_sided=True,
            ),
            Claim(
                "The same facts are pushed away more often when more facts are trained",
                (*_by_number(trained), *_in_company(evidence.companies)),
                POINTS,
                advice=_ADVICE,
            ),
        ),
        caveats=(
            "A fact that the base answers is at distance 0 and can only move away.",
            "More facts at equal epochs are more optimizer steps as well.",
        ),
        pictures=tuple(pictures.of_sections("deviation", found)),
    )


_ADVICE = {
    Verdict.YES: "Facts stray because others are trained beside them: train in smaller sets where "
    "you can, and check what was right before",
    Verdict.NO: "Training more facts at once does not push more of them away: there is no need to "
    "divide them",
}


def strayed(row: Row, seeds: tuple[int, ...]) -> Floats:
    """Return 1 where a fact moved away from its target, `[seeds, facts]`."""
    grown = values(row, seeds, "distance_after") - values(row, seeds, "distance_before")
    return (grown > AWAY).astype(np.float64)


def _mean_strayed(setting: Setting) -> Floats | None:
    """Return each fact's share of adapters under which it strayed, `[seeds, facts]`."""
    rows = most_complete(setting.adapters().values())
    seeds = shared_seeds(rows)
    return np.mean([strayed(row, seeds) for row in rows], axis=0) if seeds else None


def _shares(settings: list[Setting]) -> Iterator[Effect]:
    for setting in settings:
        found = _mean_strayed(setting)
        if found is not None:
            yield share("all adapters: share pushed away", setting.title, found, POINTS)


def _by_distance(settings: list[Setting]) -> tuple[Effect, ...]:
    effects = []
    for setting in settings:
        first = next(iter(setting.adapters().values()))
        found, ends = _mean_strayed(setting), ends_of(first, unknown_only=False)
        if found is not None and ends is not None:
            name = "all adapters: nearest - farthest"
            effects.append(between(name, setting.title, found, ends.near, ends.far))
    return present(effects)


def _by_number(settings: list[Setting]) -> Iterator[Effect]:
    """Compare the facts that two settings of different size share, adapter by adapter."""
    for more, fewer in combinations(settings, 2):
        if not _differ_in_size_alone(more, fewer):
            continue
        for method in sorted(set(more.adapters()) & set(fewer.adapters())):
            rows = more.rows[method], fewer.rows[method]
            if rows[0].spec.learning_rate == rows[1].spec.learning_rate:
                yield from _same_facts(method, more, fewer)


def _differ_in_size_alone(more: Setting, fewer: Setting) -> bool:
    keys = ("model", "task", "model_revision", "dtype", "prompt_digest", "epochs", "batch_size")
    same = all(getattr(more.spec, key) == getattr(fewer.spec, key) for key in keys)
    return same and more.tuned is fewer.tuned and more.spec.facts > fewer.spec.facts


def _same_facts(method: str, more: Setting, fewer: Setting) -> Iterator[Effect]:
    rows = more.rows[method], fewer.rows[method]
    seeds = shared_seeds(rows)
    ids = [list(row.cells[0].rows["fact_id"]) for row in rows]
    places = [[side.index(fact) for fact in ids[1] if fact in ids[0]] for side in ids]
    if seeds and places[0]:
        large, small = (
            strayed(row, seeds)[:, chosen] for row, chosen in zip(rows, places, strict=True)
        )
        name = f"{method}: among {more.spec.facts} - among {fewer.spec.facts} facts"
        yield paired(name, more.title, large, small)


def _in_company(companies: tuple[Company, ...]) -> Iterator[Effect]:
    for company in companies:
        for size in company.sizes[-1:]:
            found = company.pairs(size, Regime.EXPOSURES, lambda outcome: outcome.distance)
            ids = company.compared(size, Regime.EXPOSURES)
            if found is not None and all(fact in company.before for fact in ids):
                before = np.array([company.before[fact].distance for fact in ids])
                alone, joint = ((side - before > AWAY).astype(np.float64) for side in found)
                name = f"among {size} facts - alone, equal exposures"
                yield paired(name, company.title, joint, alone)
