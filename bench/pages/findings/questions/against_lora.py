"""What is compared with LoRA beside epochs: drift, what is lost of the base, what is carried over.

Above zero, or above 1 for a ratio, a method is better than LoRA.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from bench.pages.findings.claim import Effect, present
from bench.pages.findings.effects import mean_of, over_seeds, paired
from bench.pages.findings.evidence import Evidence, Setting, shared_seeds
from bench.pages.findings.questions.levels import FORGETTING, HALF, drift_path, with_drift
from bench.pages.findings.questions.planned_settings import (
    BARE,
    Asked,
    Training,
    answered,
    planned_settings,
    unknown,
)
from bench.pages.findings.verdict import Unit
from bench.report.leaderboard.board import DRIFT, Row
from bench.report.statistics.comparison import LEVEL, holm
from bench.report.statistics.equal_learning import cost_at_share
from bench.report.statistics.intervals import Floats

REFERENCE = "lora"
_FORGET = "forget more of "
SIGNS = "Above zero, or a ratio above 1, is better than lora in every comparison with it."
DRIFTS = (
    "Drift on the way is that of 8 texts, and n counts blocks of facts; after the last epoch it is "
    "that of n texts, so the two do not compare. Intervals of ratios on the way are about other "
    "seeds and facts, and all others of drift about other seeds; none is about other texts."
)


def with_lora(evidence: Evidence, training: Training) -> list[Setting]:
    """Return the settings that were trained as the design says and that have LoRA."""
    return [s for s in planned_settings(evidence, training) if REFERENCE in s.rows]


def several(settings: Iterable[Setting]) -> list[str]:
    """Return the adapters that settings compare with LoRA; one alone says nothing of others."""
    names = sorted({name for setting in settings for name in starts(setting)})
    return names if len(names) > 1 else []


def starts(setting: Setting) -> list[str]:
    """Return the adapters that are compared with LoRA in a setting."""
    return sorted(setting.adapters().keys() - {REFERENCE})


def drift_ratio(setting: Setting, method: str, share: float) -> Effect | None:
    """Return the log ratio of drift, LoRA's over the method's, where both have learned the share.

    A seed in which they have not, also without any one block of facts, by which the interval is
    found, is left out, and one in which drift was not measured on the way.
    """
    both = {method, REFERENCE} <= setting.rows.keys()
    table = _log_ratios(setting, method, share) if both else None
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
    """Compare what is answered of a forgetting task after the last epoch, item by item.

    None if the items were not the same in all of their cells.
    """
    pairs = _scores(setting, method, task)
    if not pairs:
        return None
    first, second = (np.stack(one) for one in zip(*pairs, strict=True))
    return paired(f"{method} - {REFERENCE}, {task}", setting.title, first, second)


def _items(setting: Setting, names: Sequence[str], task: str) -> set[str]:
    """Return the digests of a task's items; more than one if they were not the same."""
    cells = (cell for name in names for cell in setting.rows[name].cells)
    return {
        found.digest for cell in cells for found in cell.record.forgetting if found.task == task
    }


def _scores(setting: Setting, method: str, task: str) -> list[tuple[Floats, Floats]]:
    """Return a task's scores after training, of a method and of LoRA, in seeds that have both."""
    names = (method, REFERENCE)
    if not set(names) <= setting.rows.keys() or len(_items(setting, names, task)) != 1:
        return []
    own, plain = (_by_seed(setting.rows[name], task) for name in names)
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
    rows = [with_drift(setting.rows[name]) for name in (REFERENCE, method)]
    seeds, facts = shared_seeds(rows), unknown(setting.rows[REFERENCE], setting.rows[method])
    paths = [drift_path(row, seeds, facts) for row in rows]
    if not facts.any() or any(path is None for path in paths):
        return None
    one, other = (cost_at_share(path, share) for path in paths if path is not None)
    whole = one.whole - other.whole
    table = one.pseudo_values - other.pseudo_values
    reached = ~np.isnan(whole) & ~np.isnan(table).any(axis=1)
    whole, table = whole[reached], table[reached]
    # A mean of jackknife values is off by their bias; the estimate is that of all facts.
    return table + (whole.mean() - table.mean()) if len(table) else None


def carried(setting: Setting, name: str, asked: Asked) -> Effect | None:
    """Compare a method with LoRA by what is answered after the last epoch, asked like this."""
    if not {name, REFERENCE} <= setting.rows.keys():
        return None
    rows = setting.rows[name], setting.rows[REFERENCE]
    pair = answered(rows, shared_seeds(rows), asked)
    return paired(f"{name} - {REFERENCE}, {asked}", setting.title, *pair) if pair else None


def price(settings: list[Setting], method: str) -> str:
    """Say what a method costs beside LoRA, where that is clear after Holm's correction.

    A cost counts that is seen in one setting if its opposite is seen in none.
    """
    prices = {
        "drift further by the time half of them are learned": [
            drift_ratio(s, method, HALF) for s in settings
        ],
        **{
            f"{_FORGET}{task}": [remembered(s, method, task) for s in settings]
            for task in FORGETTING
        },
        "give fewer right answers when the question is asked without the trained prompt": [
            carried(s, method, replace(BARE, contained=True)) for s in settings
        ],
    }
    family = {said: present(effects) for said, effects in prices.items()}
    tested = [
        (said, e.value, e.p) for said, found in family.items() for e in found if e.p is not None
    ]
    adjusted = holm(np.array([p for _, _, p in tested]))
    clear: dict[str, list[float]] = {}
    for (said, value, _), p in zip(tested, adjusted, strict=True):
        if p <= LEVEL:
            clear.setdefault(said, []).append(value)
    costs = [said for said, values in clear.items() if max(values) < 0]
    return f", but expect it to {' and to '.join(_together(costs))}" if costs else ""


def _together(costs: list[str]) -> list[str]:
    """Say in one phrase which tasks are forgotten."""
    tasks = [said.removeprefix(_FORGET) for said in costs if said.startswith(_FORGET)]
    rest = [said for said in costs if not said.startswith(_FORGET)]
    forgotten = [f"{_FORGET}{' and '.join(tasks)} by the last epoch"] if tasks else []
    return [*forgotten, *rest]


def at_own_rate(settings: list[Setting], method: str) -> str:
    """Say that a method has a learning rate of its own, and which, if it is the same everywhere."""
    rates = {
        tuple(s.rows[name].spec.learning_rate for name in (method, REFERENCE))
        for s in settings
        if {method, REFERENCE} <= s.rows.keys()
    }
    said = "at its own tuned learning rate"
    if len(rates) != 1:
        return said
    own, plain = rates.pop()
    return f"{said} ({own:g}; that of {REFERENCE} is {plain:g})"
