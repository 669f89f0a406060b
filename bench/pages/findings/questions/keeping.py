"""Question 6: does CorDA keep more of the base than LoRA by the time both have learned the same?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bench.pages.findings.answer import Answer, Question
from bench.pages.findings.claim import Claim, Effect, present
from bench.pages.findings.effects import Flags, mean_of, over_seeds, paired
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
FORGETTING = ("countries", "elements")
SIGNS = (
    "Above zero is better than lora in every comparison. Where drift is compared at equal "
    "learning, n counts blocks of facts; after the last epoch it counts texts, and the interval "
    "is Student's over seeds."
)


def answer(evidence: Evidence) -> Answer:
    """Compare drift at equal learning."""
    settings, with_all = (
        [s for s in planned_settings(evidence, like) if REFERENCE in s.rows]
        for like in (MAIN, SMALLER)
    )
    rivals = sorted({name for setting in with_all for name in starts(setting)})
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
                present(remembered(s, KEEPS, "countries") for s in settings),
                BAR * POINTS_COUNT / 100,
            ),
        ),
        details=present(
            effect
            for setting in settings
            for name in starts(setting)
            for effect in (drift_ratio(setting, name, MOST), *lost(setting, name))
        ),
        caveats=(
            "Drift is measured on texts of the base itself: less drift is less change, not more "
            "knowledge.",
            SIGNS,
        ),
    )


def starts(setting: Setting) -> list[str]:
    """Return the adapters that are compared with LoRA in a setting."""
    return sorted(setting.adapters().keys() - {REFERENCE})


def _kept(settings: list[Setting], method: str, share: float) -> Iterator[Effect]:
    yield from present(drift_ratio(setting, method, share) for setting in settings)


def drift_ratio(setting: Setting, method: str, share: float) -> Effect | None:
    """Return the log ratio of drift over the seeds in which both have learned the share.

    They must have learned it without any one block of facts, too, by which the interval is found.
    A seed in which drift was not measured on the way is left out.
    """
    table = _log_ratios(setting, method, share) if method in setting.rows else None
    if table is None:
        return None
    name = f"{REFERENCE} / {method}, drift with {100 * share:.0f}% learned"
    return mean_of(name, setting.title, table, Unit.LOG_RATIO)


def lost(setting: Setting, method: str) -> tuple[Effect, ...]:
    """Compare what was lost of the base by the last epoch: drift, and items of each task."""
    items = (remembered(setting, method, task) for task in FORGETTING)
    return present((_final_drift(setting, method), *items))


def _final_drift(setting: Setting, method: str) -> Effect | None:
    """Return the log ratio of drift after the last epoch; each seed is a single value."""
    pairs = _scores(setting, method, DRIFT)
    pairs = [pair for pair in pairs if pair[0].mean() > 0 < pair[1].mean()]
    if not pairs:
        return None
    ratios = [np.full_like(own, np.log(plain.mean() / own.mean())) for own, plain in pairs]
    name = f"{REFERENCE} / {method}, drift after the last epoch"
    return over_seeds(name, setting.title, ratios, Unit.LOG_RATIO)


def remembered(setting: Setting, method: str, task: str) -> Effect | None:
    """Compare what is answered of a forgetting task after the last epoch, item by item."""
    pairs = _scores(setting, method, task)
    if not pairs or len({len(items) for pair in pairs for items in pair}) > 1:
        return None
    first, second = (np.stack(one) for one in zip(*pairs, strict=True))
    return paired(f"{method} - {REFERENCE}, {task}", setting.title, first, second)


def _scores(setting: Setting, method: str, task: str) -> list[tuple[Floats, Floats]]:
    """Return a task's scores after training, of a method and of LoRA, in seeds that have both."""
    if not {method, REFERENCE} <= setting.rows.keys():
        return []
    own, plain = (_by_seed(setting.rows[name], task) for name in (method, REFERENCE))
    return [(own[seed], plain[seed]) for seed in sorted(own.keys() & plain.keys())]


def _by_seed(row: Row, task: str) -> dict[int, Floats]:
    return {
        cell.record.spec.seed: np.array(found.tuned_items, dtype=np.float64)
        for cell in row.cells
        for found in cell.record.forgetting
        if found.task == task
    }


def _log_ratios(setting: Setting, method: str, share: float) -> Floats | None:
    """Return jackknife values `[seeds, blocks]` whose mean is the log ratio of all facts."""
    rows = [_with_drift(setting.rows[name]) for name in (REFERENCE, method)]
    seeds, facts = shared_seeds(rows), unknown(setting.rows[REFERENCE], setting.rows[method])
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


def _with_drift(row: Row) -> Row:
    """Leave out the seeds in which drift was not measured at every checkpoint."""
    cells = (cell for cell in row.cells if cell.record.path)
    return replace(
        row, cells=tuple(c for c in cells if all(p.drift is not None for p in c.record.path))
    )


def _path(row: Row, seeds: tuple[int, ...], facts: Flags) -> LearningPath | None:
    """Return the path of some seeds and facts; None if there is no seed."""
    cells = [cell for cell in row.cells if cell.record.spec.seed in seeds]
    return path_of(cells, epochs_of(row, seeds, facts), DRIFT) if cells else None
