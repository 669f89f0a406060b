"""The tables of a comparison, once for the terminal, Markdown and the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.report.changes.build import SectionChange
from bench.report.changes.compare import Change, RowChange
from bench.report.changes.facts import ChangedAnswer
from bench.report.leaderboard.board import Cell
from bench.report.leaderboard.build import phase_costs
from bench.report.statistics.comparison import Verdict
from bench.report.tables import format as wording
from bench.report.tables.columns import MARKS
from bench.store.records import PhaseName

CHANGE_HEADERS = ("method", "seeds", "measure", "A", "B", "B − A", "differ")
COST_HEADERS = ("method", "cost", "A", "B", "B / A")
ANSWER_HEADERS = ("method", "seed", "question", "target", "A", "B", "change")


@dataclass(frozen=True)
class ChangeLine:
    """A measure of a row, as tables show it."""

    row: RowChange
    change: Change

    @property
    def is_marked(self) -> bool:
        """Whether the statistics mark it as better or worse."""
        return self.change.comparison.verdict in (Verdict.BETTER, Verdict.WORSE)

    @property
    def texts(self) -> list[str]:
        """Its cells, in the order of `CHANGE_HEADERS`."""
        change = self.change
        measure, comparison = change.measure, change.comparison
        difference = measure.difference(comparison.difference)
        return [
            self.row.label,
            ", ".join(map(str, comparison.seeds)),
            measure.heading,
            measure.value(change.a),
            measure.value(change.b),
            f"{MARKS[comparison.verdict]} {difference}".strip(),
            f"{change.moved} of {change.paired}",
        ]

    @property
    def numbers(self) -> list[float | None]:
        """What its cells are sorted by; None for texts, which are sorted by themselves."""
        change = self.change
        difference = change.comparison.difference.value
        return [None, None, None, change.a, change.b, difference, change.moved / change.paired]


@dataclass(frozen=True)
class CostLine:
    """What something cost in both folders; `a` and `b` in its unit."""

    label: str
    name: str
    a: float
    b: float
    write: Callable[[float | None], str]

    @property
    def texts(self) -> list[str]:
        """Its cells, in the order of `COST_HEADERS`."""
        ratio = f"{self.b / self.a:.2f}" if self.a else wording.MISSING
        return [self.label, self.name, self.write(self.a), self.write(self.b), ratio]


def change_lines(section: SectionChange) -> list[ChangeLine]:
    """Return the measures of a table in which something differs."""
    return [
        ChangeLine(row, change)
        for row in section.rows
        for change in row.changes.values()
        if change.moved
    ]


def cost_lines(section: SectionChange) -> list[CostLine]:
    """Return what rows cost; nothing is tested, since times depend on how busy a machine is."""
    found = []
    for row in section.rows:
        a, b = ([pair[side].cell for pair in row.pairs] for side in (0, 1))
        found += [*_phases(row.label, a, b), *_sizes(row.label, a, b)]
    return found


def _phases(label: str, a: Sequence[Cell], b: Sequence[Cell]) -> Iterable[CostLine]:
    of_a, of_b = phase_costs(a), phase_costs(b)
    for name in (name for name in PhaseName if name in of_a and name in of_b):
        one, other = of_a[name], of_b[name]
        yield CostLine(label, f"{name} time", one.seconds, other.seconds, wording.duration)
        if one.peak_bytes is not None and other.peak_bytes is not None:
            peaks = one.peak_bytes, other.peak_bytes
            yield CostLine(label, f"{name} memory", *peaks, wording.memory)


_SIZES = {
    "parameters": ("trainable parameters", wording.count),
    "flops": ("training compute", wording.operations),
}


def _sizes(label: str, a: Sequence[Cell], b: Sequence[Cell]) -> Iterable[CostLine]:
    """Return sizes that differ: most never do."""
    for field, (name, write) in _SIZES.items():
        one, other = (_mean([getattr(cell.record, field) for cell in side]) for side in (a, b))
        if one is not None and other is not None and not np.isclose(one, other):
            yield CostLine(label, name, one, other, write)


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def answer_texts(answer: ChangedAnswer) -> list[str]:
    """Return the cells of a changed answer, in the order of `ANSWER_HEADERS`."""
    said = [answer.answer_a or "(empty)", answer.answer_b or "(empty)"]
    where = [answer.label, str(answer.seed), answer.question, answer.target]
    return [*where, *said, fate(answer)]


def fate(answer: ChangedAnswer) -> str:
    """Say how an answer changed."""
    if answer.right_a == answer.right_b:
        return "other words, still right" if answer.right_b else "wrong in another way"
    return "right only in B" if answer.right_b else "right only in A"


def answers_of(section: SectionChange) -> list[ChangedAnswer]:
    """Return the changed answers of a table, those first that became right or wrong."""
    found = [answer for row in section.rows for answer in row.answers]
    return sorted(found, key=lambda answer: answer.right_a == answer.right_b)


def answers_sentence(section: SectionChange) -> str:
    """Count the changed answers of a table by how they changed."""
    found = answers_of(section)
    kinds = Counter(map(fate, found))
    asked = sum(len(pair[1].facts) for row in section.rows for pair in row.pairs)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return f"{len(found)} of {asked} answers on the trained prompt differ: {told}." if found else ""
