"""How settings were tuned: a sentence, the candidates as a table, and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from bench.evaluation.metrics.labels import AUROC
from bench.planning.tuning import (
    AT_EQUAL_LEARNING,
    CLOSE,
    FLOOR,
    IN_THE_END,
    LEARNED_HALF,
    MEASURES,
    as_good,
    edges,
    shown,
    shown_name,
    value,
)
from bench.report.leaderboard.board import DRIFT, Row, Section, Tried, Tuning
from bench.report.statistics.intervals import Estimate
from bench.report.tables import format as wording
from bench.report.tables.columns import forgetting_header, forgotten_text
from bench.report.tables.format import TextTable
from bench.store.asks import Asks
from bench.store.records import Status

CHOSEN = "chosen"

CEILING = 0.98
"""From here on learning hardly tells candidates apart."""

_WHEN = {LEARNED_HALF: "in half the epochs", IN_THE_END: "in the end"}
"""When candidates were scored, for the scores that are shares of facts."""

_SCORES = {
    LEARNED_HALF: "learned in half the epochs",
    IN_THE_END: "answered in the end",
    AUROC: "AUROC",
}
_SCORED = {
    LEARNED_HALF: "the share of facts that it had learned after half of its epochs",
    IN_THE_END: "the share of facts that it answered in the end",
    AUROC: "AUROC on the held-out texts",
}
_CHOSEN = {
    Asks.FACTS: ("on {} separate facts about other subjects", "on them"),
    Asks.PROBLEMS: ("by {} other held-out problems", "on other examples"),
    Asks.QUESTIONS: ("by {} other questions", "on texts that answer them"),
    Asks.TRAINED_QUESTIONS: ("by {} other questions", "on them and on texts that answer them"),
}
"""By what is asked: how settings were chosen, and on what each candidate was trained."""

EQUAL = dict(zip(AT_EQUAL_LEARNING, ("drift at 90% learned", "drift at 50% learned"), strict=True))
"""Names of drift at equal learning as they are shown."""


def tuned_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows whose setting was chosen among candidates, sorted by label."""
    found = [row for row in rows if row.tuning is not None]
    return sorted(found, key=lambda row: row.label)


def tuning_of(row: Row) -> Tuning:
    """Return how a row of `tuned_rows` was tuned."""
    assert row.tuning is not None
    return row.tuning


def tuning_mark(row: Row) -> str:
    """Say in a few words which candidate a row trains; empty where there was no choice."""
    tuning = row.tuning
    if tuning is None:
        return ""
    if tuning.best is None:
        return f"all {len(tuning.tried)} candidates failed"
    chosen = tuning.trained or tuning.best
    told = f"{shown(chosen.spec, tuning.over)}, best of {len(tuning.tried)}"
    return told if row.cells or row.failures else f"{told}; not yet trained for what is reported"


def _tuning_remark(section: Section, rows: Sequence[Row]) -> str:
    """Say how the settings of tuned rows were chosen."""
    cells = [cell for row in rows for entry in tuning_of(row).tried for cell in entry.cells]
    facts = sorted({cell.record.spec.facts for cell in cells})
    seeds = sorted({cell.record.spec.seed for cell in cells})
    scores = [section.worded(_SCORED.get(name, name)) for name in score_measures(section)]
    score = scores[0]
    if len(scores) > 1:
        score += (
            f", or, where no candidate of its method had learned {100 * FLOOR:g}% by then, by "
            f"{scores[-1]}"
        )
    chosen, trained = _CHOSEN[section.asks]
    return (
        f"Settings were chosen {chosen.format(_listed(facts))}. Every "
        f"candidate was trained {trained} with {'seed' if len(seeds) == 1 else 'seeds'} "
        f"{_listed(seeds)}, which {'reports' if len(seeds) == 1 else 'report'} nothing, and scored "
        f"by {score}. Of the candidates "
        f"within {100 * CLOSE:g} points of the best, the one that {_least(section)} was chosen, "
        "then the one with the lowest learning rate. The tables above show it, trained "
        f"from the base {'on' if section.asks is Asks.FACTS else 'for'} the {section.asks.items} "
        "reported here. Intervals decide nothing here."
    )


def _least(section: Section) -> str:
    if equal_learning(section):
        return "drifts least at equal learning"
    return "drifts least" if DRIFT in tuning_tasks(section) else "forgets least"


def equal_learning(section: Section) -> list[str]:
    """Return the measures of drift at equal learning, up to the first that all candidates have."""
    tried = [entry.trial for row in tuned_rows(section.rows) for entry in tuning_of(row).tried]
    done = [trial for trial in tried if trial.score is not None]
    found = []
    for name in AT_EQUAL_LEARNING:
        have = [name in trial.lost for trial in done]
        found += [name] if any(have) else []
        if all(have):
            break
    return found


def score_measures(section: Section) -> list[str]:
    """Return the metrics that candidates were scored by, the one in the end last."""
    tried = [entry for row in tuned_rows(section.rows) for entry in tuning_of(row).tried]
    decided = {entry.trial.measure for entry in tried if entry.trial.score is not None}
    # Those at the floor were looked at by the share at half first.
    looked = {LEARNED_HALF} if any(map(_was_at_the_floor, tried)) else set()
    return [name for name in MEASURES if name in decided | looked] or [LEARNED_HALF]


def _was_at_the_floor(entry: Tried) -> bool:
    """Return whether a candidate counts by its end because none had learned much at half."""
    return entry.trial.measure == IN_THE_END and LEARNED_HALF in entry.scores


def score_name(section: Section, measure: str) -> str:
    """Return the name of one of them as it is shown."""
    return section.worded(_SCORES.get(measure, measure))


def tuning_table(section: Section) -> TextTable | None:
    """Return the table of candidates, a line for each; None where nothing was tuned."""
    rows = tuned_rows(section.rows)
    if not rows:
        return None
    tasks = tuning_tasks(section)
    forgotten = [f"{forgetting_header(task)} ↓" for task in tasks]
    measures = score_measures(section)
    scores = [f"{score_name(section, measure)} (%) ↑" for measure in measures]
    equal = equal_learning(section)
    drifts = [f"{EQUAL[name]} (nats) ↓" for name in equal]
    headers = ["method", "candidate", *scores, *drifts, *forgotten, ""]
    lines = [
        [
            row.label,
            shown(entry.trial.spec, tuning_of(row).over),
            *(wording.percent_interval(entry.scores.get(name)) for name in measures),
            *(_nats(entry.trial.lost.get(name)) for name in equal),
            *(forgotten_text(task, entry.forgetting.get(task)) for task in tasks),
            _fate(entry, tuning_of(row)),
        ]
        for row in rows
        for entry in tuning_of(row).tried
    ]
    return TextTable(headers, lines, _tuning_remark(section, rows))


def tuning_tasks(section: Section) -> list[str]:
    """Return the forgetting tasks that candidates were measured on, `drift` last."""
    found = {
        t for row in tuned_rows(section.rows) for e in tuning_of(row).tried for t in e.forgetting
    }
    return sorted(found, key=lambda name: (name == DRIFT, name))


def tuning_warnings(rows: Sequence[Row]) -> list[str]:
    """Warn of choices at the edge of what was tried, not trained yet, or of unequal budgets."""
    said = []
    tuned = tuned_rows(rows)
    for row in tuned:
        tuning = tuning_of(row)
        trials = [entry.trial for entry in tuning.tried]
        if tuning.best is not None:
            said += _at_the_ceiling(row)
            said += _at_the_floor(row)
            said += [
                f"{row.label}: {edge}; try values beyond it" for edge in edges(trials, tuning.best)
            ]
        if tuning.best is not None and tuning.trained not in (None, tuning.best):
            better = shown(tuning.best.spec, tuning.over)
            said.append(f"{row.label}: {better} is better but not yet trained for what is reported")
        if tuning.earlier:
            listed = "; ".join(tuning.earlier)
            said.append(f"{row.label}: not shown: {listed}, chosen from fewer candidates")
    return [*said, *_unequal(tuned), *_unequal_seeds(tuned)]


def _at_the_ceiling(row: Row) -> list[str]:
    """Warn where several candidates had learned nearly everything when they were scored."""
    good = as_good([entry.trial for entry in tuning_of(row).tried])
    measure = good[0].measure if good else ""
    if len(good) < 2 or measure not in _WHEN:
        return []
    if min(trial.score or 0.0 for trial in good) < CEILING:
        return []
    return [
        f"{row.label}: {len(good)} candidates learned {100 * CEILING:g}% or more {_WHEN[measure]}, "
        "so learning does not tell them apart; tune with fewer epochs"
    ]


def _at_the_floor(row: Row) -> list[str]:
    """Warn where no candidate had learned anything to speak of when it was scored first."""
    tried = [entry for entry in tuning_of(row).tried if entry.trial.score is not None]
    measure = tried[0].trial.measure if tried else ""
    if len(tried) < 2 or measure not in _WHEN:
        return []
    none = f"{row.label}: no candidate learned {100 * FLOOR:g}%"
    if max(entry.trial.score or 0.0 for entry in tried) < FLOOR:
        return [
            f"{none} {_WHEN[measure]}, so the choice means little; "
            "tune with more epochs or larger learning rates"
        ]
    if any(map(_was_at_the_floor, tried)):
        return [f"{none} {_WHEN[LEARNED_HALF]}, so the share answered in the end decided"]
    return []


def _unequal_seeds(rows: Sequence[Row]) -> list[str]:
    """Warn where methods were tuned with different seeds."""
    seeds: dict[tuple[int, ...], list[str]] = {}
    for row in rows:
        tried = tuple(cell.record.spec.seed for cell in tuning_of(row).tried[0].cells)
        seeds.setdefault(tried, []).append(row.label)
    if len(seeds) < 2:
        return []
    said = [f"{_listed(found)} for {', '.join(labels)}" for found, labels in seeds.items()]
    return [f"tuning seeds differ: {'; '.join(said)}; run one grid with the same --tune-seeds"]


def _nats(value: float | None) -> str:
    return wording.nats_interval(None if value is None else Estimate(value))


def _unequal(tuned: Sequence[Row]) -> list[str]:
    """Warn where methods that share what is tuned had other values to choose from."""
    values: dict[str, list[list[str]]] = {}
    for row in tuned:
        for name in tuning_of(row).over:
            values.setdefault(name, []).append(
                [value(entry.trial.spec, name) for entry in tuning_of(row).tried]
            )
    said: list[str] = []
    for name, tried in values.items():
        every = list(dict.fromkeys(chain.from_iterable(tried)))
        some = [each for each in every if not all(each in others for others in tried)]
        if some:
            said.append(
                f"{shown_name(name)}: {_listed(some)} {'was' if len(some) == 1 else 'were'} not "
                "tried for every method, so tuning budgets differ; run one grid over all values"
            )
    return said


def _fate(entry: Tried, tuning: Tuning) -> str:
    """Say how a candidate failed, or that it was chosen; empty for the others."""
    if entry.trial.status is not Status.DONE:
        return entry.trial.status.value.replace("_", " ")
    return CHOSEN if entry.trial is tuning.best else ""


def _listed(values: Sequence[object]) -> str:
    return " and ".join(map(str, values))
