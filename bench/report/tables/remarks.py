"""What must be said beside the numbers: how to read them, warnings, failures, marks."""

from __future__ import annotations

from bench.evaluation.metrics import CsvGroup, metric_table
from bench.report.leaderboard.board import DRIFT, Leaderboard, Row, Section
from bench.report.leaderboard.rebuilt import rebuilt_parts
from bench.report.leaderboard.recipe_notes import chosen_marks
from bench.report.statistics.intervals import IntervalKind
from bench.report.tables.columns import AT_FLOOR
from bench.report.tables.tuning import tuning_mark, tuning_warnings
from bench.store.knowledge import KnowledgeCategory

_MEASURED = (
    "The base before training: known, its greedy answer is right; maybe, one of a few sampled "
    "answers is; unknown, none is. The column of unknown facts holds the maybes too; the .csv "
    "has both apart, as reliability_maybe and reliability_never.",
    "vs: the difference to the reference's in percentage points, of the facts that ranks are by.",
)
_LOST = (
    "forgets: what the base scored minus what is left, in percentage points; positive is "
    "lost, negative is gained. drift: mean KL from the base per token.",
    f"'{AT_FLOOR}': the base is not above chance there, so nothing could be forgotten.",
    "Times are as if nothing had been cached. '-' means that there is nothing to measure.",
)

_KINDS = {
    IntervalKind.FACTS: "one seed: bootstrap over facts only, other seeds may differ",
    IntervalKind.TWO_SEEDS: "two seeds: over seeds and facts",
    IntervalKind.SEEDS_AND_FACTS: "three or more seeds: over seeds and facts",
}


def reading() -> list[str]:
    """Say how to read the tables: what each metric is, and what else stands in them."""
    shown = [metric for metric in metric_table().values() if metric.sentence]
    leading = [metric.sentence for metric in shown if metric.csv is CsvGroup.LEADING]
    return [
        "↑ more is better, ↓ less is better. Brackets are 95 % intervals.",
        " ".join(leading),
        *_MEASURED,
        *(metric.sentence for metric in shown if metric.csv is not CsvGroup.LEADING),
        *_LOST,
    ]


def interval_remark(section: Section) -> str:
    """Say what the intervals of a section cover."""
    kinds = {row.interval_kind for row in section.done}
    found = [text for kind, text in _KINDS.items() if kind in kinds]
    return f"Intervals are of 95 %, each by itself; {'; '.join(found)}." if found else ""


def comparison_remark(section: Section) -> str:
    """Say what rows are compared with and what the marks mean; empty for a row alone."""
    if not any(row.standing.rank for row in section.rows):
        return ""
    said = [f"Ranks are 95 % intervals, by {section.headline.replace('_', ' ')}."]
    if any(row.standing.comparisons for row in section.rows):
        said.append(
            f"Compared with {section.reference}, paired by seed and fact: ▲ better, ▼ worse (p "
            "below 0.05 after Holm's correction over the methods); ≈ and no mark: not "
            "distinguishable."
        )
    return " ".join(said)


def fewer_pairs(section: Section) -> list[str]:
    """Return a line per row that is compared with the reference in some of its seeds only."""
    wanted = {seed for row in section.rows if row.label == section.reference for seed in row.seeds}
    lines = []
    for row in section.rows:
        found = row.standing.comparisons.get(section.headline)
        if found is not None and set(found.seeds) != wanted | set(row.seeds):
            shared = ", ".join(map(str, found.seeds))
            lines.append(f"{row.label}: compared with {section.reference} in seeds {shared} alone")
    return lines


def marks(row: Row) -> str:
    """Return what sets a row apart, for its table cell: what it chose, rebuilt parts, failures."""
    found = [tuning_mark(row)] if row.tuning else []
    found += chosen_marks(row)
    found += [f"rebuilt: {name}" for name in rebuilt_parts(row.spec.method)]
    if row.first("identity") is False:
        found.append("not the base at init")
    if row.failures and row.cells:
        found.append(f"{len(row.failures)} of {len(row.failures) + len(row.cells)} cells failed")
    if row.failures and not row.cells and not row.tuning:
        found.append(row.failures[0].status.value.replace("_", " "))
    return "; ".join(found)


def seeds(row: Row) -> str:
    """List the seeds that a row averages over."""
    return ", ".join(map(str, row.seeds)) or "none"


def failures(section: Section) -> list[str]:
    """Return one line per cell without a result: what, how it ended, why."""
    return [
        f"{failure.label}, seed {failure.seed}: {failure.status.value.replace('_', ' ')}"
        + (f": {failure.reason}" if failure.reason else "")
        for row in section.rows
        for failure in row.failures
    ]


def warnings(section: Section) -> list[str]:
    """Return the section's warnings; where rebuilt parts are in it, the first says so."""
    rebuilt = sorted({name for row in section.rows for name in rebuilt_parts(row.spec.method)})
    said = [
        f"{name}: its formula is rebuilt from abstracts and reviews, not the paper's own"
        for name in rebuilt
    ]
    return [*said, *section.warnings, *fewer_pairs(section), *tuning_warnings(section.rows)]


def base_scores(section: Section) -> str:
    """Say what the base knew of the facts and scores on each forgetting task."""
    scores = {
        task: row.forgetting[task].base
        for task in section.forgetting_tasks
        for row in section.done
        if task in row.forgetting and task != DRIFT
    }
    parts = _knowledge(section.done[0]) if section.done else []
    parts += [f"{task} {100 * score:.1f} %" for task, score in scores.items()]
    return f"The base before training: {', '.join(parts)}." if parts else ""


def _knowledge(row: Row) -> list[str]:
    """Say which share of the facts the base knew; it is the same for every cell of a section."""
    found = row.cells[0].facts.knowledge
    known, maybe, unknown = (
        f"{100 * (found == k).mean():.1f} %" for k in range(len(KnowledgeCategory))
    )
    return [f"{known} of these facts (known)", f"{maybe} maybe", f"{unknown} unknown"]


def problems(board: Leaderboard) -> list[str]:
    """Return one line per file that could not be read and therefore counts as absent."""
    return [f"not counted: {problem}" for problem in board.problems]
