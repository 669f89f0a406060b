"""Question 6: does CorDA keep more of the base than LoRA by the time both have learned the same?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.pages.findings.answer import Answer, Question
from bench.pages.findings.claim import Claim, Effect, present
from bench.pages.findings.effects import Flags, mean_of, paired
from bench.pages.findings.evidence import Evidence, Setting, shared_seeds
from bench.pages.findings.planned import BAR, POINTS_COUNT, RATIO_COUNTS
from bench.pages.findings.questions.planned_settings import (
    MAIN,
    SMALLER,
    epochs_of,
    planned_seeds,
    planned_settings,
    unknown,
)
from bench.pages.findings.verdict import Needs, Unit, Verdict
from bench.report.leaderboard.board import DRIFT, Row
from bench.report.leaderboard.equal_learning import path_of
from bench.report.statistics.equal_learning import LearningPath, cost_at_share
from bench.report.statistics.intervals import Floats

QUESTION = Question(
    key="keeping",
    title="Does CorDA keep the base?",
    asks="Does CorDA (kpm) drift less than LoRA when both have learned half of the facts?",
    compared="The logarithm of LoRA's drift over that of CorDA, in each seed where half of the "
    "unknown facts are learned by both, over 16 blocks of facts; 0.29 is a quarter less drift. "
    "Other starts are compared with LoRA in the same way.",
    source="2406.05223: knowledge-preserving CorDA forgets less",
    expected=Verdict.YES,
    grids=("lora", "pissa", "keeping", "starts", "starts_astra", "gemma"),
)
REFERENCE, KEEPS, SEEDS = "lora", "corda[calibration=countries]", 12
MOST, HALF = 0.9, 0.5


def answer(evidence: Evidence) -> Answer:
    """Compare drift at equal learning."""
    settings, with_all = (
        [s for s in planned_settings(evidence, like) if REFERENCE in s.rows]
        for like in (MAIN, SMALLER)
    )
    rivals = sorted({name for s in with_all for name in s.adapters()} - {REFERENCE})
    several = rivals if len(rivals) > 1 else []  # one alone says nothing of others
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "CorDA drifts less than LoRA when both have learned half of the facts",
                "log ratio of drift",
                tuple(_kept(settings, KEEPS, HALF)),
                BAR * RATIO_COUNTS,
                planned=planned_seeds(settings, SEEDS),
                advice={
                    Verdict.YES: "To stay close to the base, start with corda[mode=kpm]",
                    Verdict.NO: "Do not count on corda[mode=kpm] to stay close to the base: it "
                    "drifts as much as lora by the time it has learned as much",
                },
            ),
            Claim(
                "Some start drifts less than LoRA when both have learned half of the facts",
                "log ratio of drift",
                tuple(e for name in several for e in _kept(with_all, name, HALF)),
                BAR * RATIO_COUNTS,
                needs=Needs.ANY,
            ),
            Claim(
                "In the end CorDA answers more of the countries that it was calibrated on than "
                "LoRA does",
                "share of countries answered",
                tuple(_remembered(settings, KEEPS, "countries")),
                BAR * POINTS_COUNT / 100,
            ),
        ),
        details=(
            *(e for name in rivals for e in _kept(with_all, name, MOST)),
            *(
                effect
                for task in ("countries", "elements")
                for name in rivals
                for effect in _remembered(with_all, name, task)
            ),
        ),
        caveats=(
            "Drift is measured on texts of the base itself: less drift is less change, not more "
            "knowledge.",
        ),
    )


def _kept(settings: list[Setting], method: str, share: float) -> Iterator[Effect]:
    yield from present(drift_ratio(setting, method, share) for setting in settings)


def drift_ratio(setting: Setting, method: str, share: float) -> Effect | None:
    """Return the log ratio of drift over the seeds in which both have learned the share.

    They must have learned it without any one block of facts, too, by which the interval is found.
    """
    table = _log_ratios(setting, method, share) if method in setting.rows else None
    if table is None:
        return None
    name = f"{REFERENCE} / {method}, {100 * share:.0f}% learned"
    return mean_of(name, setting.title, table, Unit.LOG_RATIO)


def _remembered(settings: list[Setting], method: str, task: str) -> Iterator[Effect]:
    """Compare what is answered of a forgetting task after the last epoch, item by item."""
    for setting in settings:
        if method in setting.rows:
            rows = setting.rows[method], setting.rows[REFERENCE]
            seeds = shared_seeds(rows)
            scores = [_items(row, seeds, task) for row in rows]
            sizes = {len(items) for one in scores for items in one}
            if seeds and len(sizes) == 1 and all(len(one) == len(seeds) for one in scores):
                first, second = (np.array(one, dtype=np.float64) for one in scores)
                yield paired(f"{method} - {REFERENCE}, {task}", setting.title, first, second)


def _items(row: Row, seeds: tuple[int, ...], task: str) -> list[list[float]]:
    """Return the scores of a forgetting task's items after training, `[seeds][items]`."""
    return [
        found.tuned_items
        for cell in row.cells
        if cell.record.spec.seed in seeds
        for found in cell.record.forgetting
        if found.task == task
    ]


def _log_ratios(setting: Setting, method: str, share: float) -> Floats | None:
    """Return jackknife values `[seeds, blocks]` whose mean is the log ratio of all facts."""
    rows = setting.rows[REFERENCE], setting.rows[method]
    seeds, facts = shared_seeds(rows), unknown(*rows)
    paths = [_path(row, seeds, facts) for row in rows]
    if not facts.any() or any(path is None for path in paths):
        return None
    one, other = (cost_at_share(path, share) for path in paths if path is not None)
    whole = one.whole - other.whole
    table = one.pseudo_values - other.pseudo_values
    reached = ~np.isnan(whole) & ~np.isnan(table).any(axis=1)
    whole, table = whole[reached], table[reached]
    # A mean of jackknife values is off by their bias; the estimate is that of all facts.
    return table + (whole.mean() - table.mean()) if len(table) else None


def _path(row: Row, seeds: tuple[int, ...], facts: Flags) -> LearningPath | None:
    """Return the path of some seeds and facts; None where drift was not measured on the way."""
    cells = [cell for cell in row.cells if cell.record.spec.seed in seeds]
    return path_of(cells, epochs_of(row, seeds, facts), DRIFT) if cells else None
