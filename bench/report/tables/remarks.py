"""The sentences beside the numbers: how to read them, warnings, failures, remarks on rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from bench.evaluation.metrics import Metric, metric_table
from bench.evaluation.metrics.labels import base_of
from bench.report.leaderboard.board import DRIFT, Leaderboard, Row, Section
from bench.report.leaderboard.half_dose import (
    AT_HALF_DOSE,
    EPOCHS_UNKNOWN,
    measured_metrics,
    section_metrics,
)
from bench.report.leaderboard.rebuilt import rebuilt_parts
from bench.report.leaderboard.recipe_notes import chosen_marks
from bench.report.leaderboard.standings import evaluation_metric, headline_of
from bench.report.statistics.comparison import Comparison, Verdict
from bench.report.statistics.intervals import DECIDING_SEEDS, Estimate, IntervalKind
from bench.report.tables.columns import AT_FLOOR
from bench.report.tables.format import MISSING
from bench.report.tables.tuning import tuning_mark, tuning_warnings
from bench.report.tables.why import why_sentences
from bench.store.asks import Asks
from bench.store.knowledge import KnowledgeCategory

_LEARNED = (
    "Learned is measured on the prompt that was trained: epochs to learn, the share learned after "
    "some of the epochs, and reliability at the end. Carried over is what training did not see: "
    "the same questions in other contexts (robustness) and in other words (generality), and "
    "questions whose answers follow from what was learned (portability)."
)
_FAMILIES = {
    "robustness": "facts carried over: answered correctly in a context that training did not see, "
    "namely as a plain question, after four demonstrations (few-shot), in the model's chat "
    "template (chat), or as the question alone (bare)",
    "confusion": "wrong answers in that context that are the target of another trained fact",
}
"""What metrics of one context have in common, by how their names begin."""

_EVALUATED = (
    "learned TASK: the score after training on a task of --evaluate, in percent. The base's own "
    "score stands above the table."
)

_MORE = (
    "Before training, a fact is known if the base's greedy answer is correct, maybe known if one "
    "of a few sampled answers is, and unknown if none is. The columns for unknown facts include "
    "the maybe known ones; the .csv also has both separately, as reliability_maybe and "
    "reliability_never.",
    "vs: the difference from the reference in the metric that ranks are based on; fewer epochs "
    "are better. For each metric, Holm's correction is over the methods of the table.",
    "forgets: the base's score minus the score after training, in percentage points; a positive "
    "number is a loss, a negative one a gain. drift: mean KL divergence from the base per token.",
    "drift (or forgets), 90% learned: what was lost when 90% of the facts that the base did not "
    "answer were learned, so that no method seems to forget less because it learned less; '-' if "
    "some seed never got there. The .csv also has it at 50%. This drift is measured on the first 8 "
    "of the 32 texts of drift: compare it with other rows of its own column only.",
    f"'{AT_FLOOR}': the base scores no better than chance, so nothing could be forgotten.",
    f"rank: the places that a method may have; '{MISSING}' means that it may have any. With one or "
    "two seeds methods are not ranked, and differences are not tested.",
    "Times are for a run with empty caches. Elsewhere '-' means that there was nothing to measure, "
    "or fewer than five facts or items.",
)

_KINDS = {
    IntervalKind.FACTS: "one seed: over facts only, so other seeds may differ",
    IntervalKind.TWO_SEEDS: "two seeds: over seeds and facts, and wide because they are two",
    IntervalKind.SEEDS_AND_FACTS: "three or more seeds: over seeds and facts",
}


_PROBLEMS = (
    "Held-out problems are of a skill, and none of them was trained. What is said of facts holds "
    "for them: known is what the base solves, learned what a model solves on the trained prompt. "
    "Of worked steps the result alone counts, while epochs to learn are counted until every token "
    "of the steps is right."
)
_QUESTIONS = (
    "Questions are about a text, and are trained only where it says so. What is said of facts "
    "holds for them: known is what the base answers, learned what a model answers on the trained "
    "prompt."
)
_HELD_OUT = {
    Asks.PROBLEMS: _PROBLEMS,
    Asks.QUESTIONS: _QUESTIONS,
    Asks.TRAINED_QUESTIONS: _QUESTIONS,
}


def reading(sections: Sequence[Section] = ()) -> list[str]:
    """Explain each column of the tables, a line for each.

    Args:
        sections: Those that are shown; what only some have is explained if one of them has it.
    """
    measured = measured_metrics(row for section in sections for row in section.rows)
    shown = [
        metric
        for name, metric in section_metrics(0).items()
        if metric.header and (metric.is_mean or name in measured)
    ]
    shown.sort(key=lambda metric: metric.name not in (EPOCHS_UNKNOWN, AT_HALF_DOSE))
    said = {_sentence(metric): None for metric in shown}
    return [
        "↑: more is better; ↓: less is better. Brackets are 95% confidence intervals.",
        _LEARNED,
        *said,
        *([_EVALUATED] if any(section.evaluated_tasks for section in sections) else []),
        *_MORE,
        *dict.fromkeys(_HELD_OUT[s.asks] for s in sections if s.asks in _HELD_OUT),
        *why_sentences(sections),
    ]


def _sentence(metric: Metric) -> str:
    """Return what the legend says of a metric: once for all contexts that it is measured in."""
    family = metric.name.partition(".")[0]
    if metric.name == AT_HALF_DOSE:
        return f"learned after N epochs, unknown facts: {metric.explanation}."
    if family in _FAMILIES:
        return f"{family}: {_FAMILIES[family]}."
    return metric_table().get(family, metric).sentence


def interval_remark(section: Section) -> str:
    """Say what the intervals of a section cover."""
    kinds = {row.interval_kind for row in section.done}
    # A difference is over the seeds that both have, which may be fewer.
    kinds |= {IntervalKind.of(len(found.seeds)) for found in _compared(section)}
    found = [text for kind, text in _KINDS.items() if kind in kinds]
    said = "Brackets are 95% confidence intervals, not adjusted for multiple comparisons"
    return f"{said}; {'; '.join(found)}." if found else ""


def comparison_remark(section: Section) -> str:
    """Say what rows are compared with and what the marks mean; empty for a row alone."""
    said = []
    if any(row.standing.rank for row in section.rows):
        said.append(f"Ranks (95% intervals) are by {_ranked_by(section)}.")
    elif _share_seeds(section):
        said.append("No ranks: every order is possible.")
    elif len(section.ranked) > 1:
        said.append("No ranks: no two methods have three seeds in common.")
    compared = _compared(section)
    if any(c.verdict is not Verdict.UNTESTED for c in compared):
        said.append(
            f"Compared with {section.reference}, paired by seed and fact: ▲ better, ▼ worse "
            "(Holm-corrected p below 0.05); ≈ or unmarked: no significant difference."
        )
    elif compared:
        few = all(len(found.seeds) < DECIDING_SEEDS for found in compared)
        why = "Fewer than three seeds" if few else "Fewer than three seeds or five facts"
        ranked = any(row.standing.rank for row in section.rows)
        so = "nothing is marked" if ranked else "nothing is marked or ranked"
        said.append(
            f"Differences from {section.reference} are paired by seed and fact. {why} decide "
            f"nothing, so {so}."
        )
    return " ".join(said)


def _compared(section: Section) -> list[Comparison]:
    return [c for row in section.rows for c in row.standing.comparisons.values()]


def _share_seeds(section: Section) -> bool:
    """Return whether some two of the rows that can be ranked have enough seeds in common."""
    seeds = [set(found.by_seed) for found in section.ranked.values()]
    return any(len(one & other) >= DECIDING_SEEDS for one, other in combinations(seeds, 2))


def _ranked_by(section: Section) -> str:
    if section.headline == EPOCHS_UNKNOWN:
        return "the epochs in which they learn unknown facts"
    for task in section.evaluated_tasks:
        if section.headline == evaluation_metric(task):
            return f"the score on {task}"
    metric = metric_table().get(section.headline)
    if metric is not None and not metric.is_mean:
        return metric.header
    return section.headline.replace("_unknown", " on unknown facts").replace("_", " ")


def fewer_pairs(section: Section) -> list[str]:
    """Return a line for each row that shares only some seeds or facts with the reference."""
    reference = next((row for row in section.rows if row.label == section.reference), None)
    if reference is None:
        return []
    lines = []
    for row in section.rows:
        found = row.standing.comparisons.get(section.headline)
        if found is None:
            continue
        if set(found.seeds) != {*reference.seeds, *row.seeds}:
            shared = ", ".join(map(str, found.seeds))
            plural = "seed" if len(found.seeds) == 1 else "seeds"
            lines.append(f"{row.label}: compared with {reference.label} on {plural} {shared} only")
        most = max(one.items or 0 for one in _headlines(section, row, reference))
        if found.difference.items is not None and found.difference.items < most:
            lines.append(
                f"{row.label}: compared with {reference.label} on the {found.difference.items} "
                f"facts that both trained, of {most}"
            )
    return lines


def _headlines(section: Section, *rows: Row) -> list[Estimate]:
    found = [headline_of(row, section.headline) for row in rows]
    return [one for one in found if one is not None]


def marks(row: Row) -> str:
    """Return what sets a row apart, for its table cell: what it chose, rebuilt parts, failures."""
    found = [tuning_mark(row)] if row.tuning else []
    found += chosen_marks(row)
    found += [f"rebuilt: {name}" for name in rebuilt_parts(row.spec.method)]
    if row.first("identity") is False:
        found.append("adapter changes outputs before training")
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
    """Return the section's warnings, those about reconstructed formulas first."""
    rebuilt = sorted({name for row in section.rows for name in rebuilt_parts(row.spec.method)})
    said = [
        f"{name}: its formula is reconstructed from abstracts and reviews, not the paper's own"
        for name in rebuilt
    ]
    return [*said, *section.warnings, *fewer_pairs(section), *tuning_warnings(section.rows)]


def size(section: Section) -> str:
    """Say how many facts or problems are asked, and how many others were trained."""
    if not section.facts:
        return f"{section.asked}; none of them is asked."
    return f"{section.asked}{_lessons(section)}."


def base_scores(section: Section) -> str:
    """Say which facts the base knew, and what it scores on each forgetting task."""
    scores = {
        task: row.forgetting[task].base
        for task in section.forgetting_tasks
        for row in section.done
        if task in row.forgetting and task != DRIFT
    }
    scores |= {
        task: row.evaluated[task].base
        for task in section.evaluated_tasks
        for row in section.done
        if task in row.evaluated
    }
    if not section.done:
        return ""
    on_tasks = [f"{100 * score:.1f}% on {task}" for task, score in scores.items()]
    scored = ", ".join([*_labelled_before(section), *on_tasks])
    if not section.facts:
        return f"Before training, the base scored {scored}." if scored else ""
    knowledge = section.done[0].cells[0].facts.numbers.knowledge  # the same for every cell
    if not len(knowledge):  # of a text that nothing is asked about
        return ""
    known, maybe, unknown = (
        f"{100 * (knowledge == kind).mean():.1f}%" for kind in range(len(KnowledgeCategory))
    )
    facts = f"Before training, the base knew {known} of them, maybe knew {maybe}, and did not know"
    return f"{facts} {unknown}{f'; it scored {scored}' if scored else ''}."


def _labelled_before(section: Section) -> list[str]:
    """Return what the base scores in metrics over all texts of a classification."""
    scores = {
        metric.header: row.metrics.get(base_of(name))
        for row in section.done[:1]  # the same for every row
        for name, metric in metric_table().items()
        if metric.header and not metric.is_mean
    }
    return [f"{header} {100 * s.value:.1f}%" for header, s in scores.items() if s is not None]


def _lessons(section: Section) -> str:
    """Say how many examples were trained where others are asked; empty for facts."""
    counts = sorted({row.spec.lessons for row in section.rows if row.spec.lessons})
    many = " or ".join(map(str, counts))
    return f", asked after training on {many} {section.asks.lessons}" if counts else ""


def problems(board: Leaderboard) -> list[str]:
    """Return one line per file that could not be read and therefore counts as absent."""
    return [f"not counted: {problem}" for problem in board.problems]
