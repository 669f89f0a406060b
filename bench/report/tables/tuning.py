"""How settings were tuned: a sentence, the candidates as a table, and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from bench.planning.tuning import edges, shown, shown_name, value
from bench.report.leaderboard.board import DRIFT, Row, Section, Tried, Tuning
from bench.report.tables import format as wording
from bench.report.tables.columns import forgetting_header, forgotten_text
from bench.report.tables.format import TextTable
from bench.store.records import Status

CHOSEN = "chosen"


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
    return told if row.cells or row.failures else f"{told}; not yet trained on these facts"


def _tuning_remark(section: Section, rows: Sequence[Row]) -> str:
    """Say how the settings of tuned rows were chosen."""
    specs = [entry.trial.spec for row in rows for entry in tuning_of(row).tried]
    facts = sorted({spec.facts for spec in specs})
    seeds = sorted({spec.seed for spec in specs})
    least = "drifts" if DRIFT in tuning_tasks(section) else "forgets"
    return (
        f"Settings were chosen on {_listed(facts)} separate facts about other subjects. Every "
        f"candidate was trained on them with seed {_listed(seeds)} only and scored by "
        f"{score_measure(section)}; ties went to the candidate that {least} least, then to the "
        "lowest learning rate. The tables above show the best candidate, trained from the base on "
        "the facts reported here. Intervals are over facts."
    )


def score_measure(section: Section) -> str:
    """Return the metric that candidates were scored by."""
    tried = [entry for row in tuned_rows(section.rows) for entry in tuning_of(row).tried]
    return next((e.trial.measure for e in tried if e.trial.score is not None), "generality")


def tuning_table(section: Section) -> TextTable | None:
    """Return the table of candidates, a line for each; None where nothing was tuned."""
    rows = tuned_rows(section.rows)
    if not rows:
        return None
    tasks = tuning_tasks(section)
    forgotten = [f"{forgetting_header(task)} ↓" for task in tasks]
    headers = ["method", "candidate", f"{score_measure(section)} (%) ↑", *forgotten, ""]
    lines = [
        [
            row.label,
            shown(entry.trial.spec, tuning_of(row).over),
            wording.percent_interval(entry.score),
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
            said += [
                f"{row.label}: {edge}; try values beyond it" for edge in edges(trials, tuning.best)
            ]
        if tuning.best is not None and tuning.trained not in (None, tuning.best):
            better = shown(tuning.best.spec, tuning.over)
            said.append(f"{row.label}: {better} is better but not yet trained on these facts")
        if tuning.earlier:
            listed = "; ".join(tuning.earlier)
            said.append(f"{row.label}: not shown: {listed}, chosen from fewer candidates")
    return [*said, *_unequal(tuned)]


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
