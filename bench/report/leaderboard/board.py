"""What the report is made of: sections that may be compared, rows, cells; no computation.

A section holds one base, one selection of facts, one prompt. A row of it is one method in one
setting; its done cells, one per seed, are aggregated. A cell that is not done is a failure beside
its row and is never averaged over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from bench.evaluation.metrics.labels import AUROC
from bench.planning.tuning import Trial
from bench.report.leaderboard.fact_table import FactTable
from bench.report.statistics.comparison import Comparison, Measured
from bench.report.statistics.intervals import Estimate, IntervalKind
from bench.report.statistics.ranking import OverallRanks, RankInterval
from bench.store.asks import Asks
from bench.store.records import CellRecord, CellSpec, PhaseName, Status
from tasks.forgetting.names import ForgettingKind

if TYPE_CHECKING:
    from bench.report.leaderboard.suite_results import SuiteResults

_FACTS = re.compile(r"\b(?P<fact>[Ff]act)(?P<many>s?)\b")

DRIFT = ForgettingKind.DRIFT.value
"""The forgetting task that needs no data: mean KL to the base, in nats per token."""


@dataclass(frozen=True)
class Cell:
    """A cell with its fact rows, sorted by fact id."""

    record: CellRecord
    facts: FactTable

    @property
    def rows(self) -> pd.DataFrame:
        """The facts as a frame, columns of `FactRow`: slow, for what shows or draws facts."""
        return self.facts.frame


@dataclass(frozen=True, slots=True)
class Failure:
    """A cell that has no result, and why."""

    cell_id: str
    label: str
    seed: int
    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """One forgetting task over the seeds of a row; `lost` is None where the base is at floor."""

    task: str
    base: float
    tuned: float
    at_floor: bool
    lost: Estimate | None


@dataclass(frozen=True, slots=True)
class Learned:
    """One task of `--evaluate` over the seeds of a row: the mean scores before and after."""

    task: str
    base: float
    tuned: Estimate | None


@dataclass(frozen=True, slots=True)
class Cost:
    """One phase: mean seconds with nothing cached, and the highest peak of memory in bytes.

    The peak is None if it was measured only of cells that were trained together.
    """

    seconds: float
    peak_bytes: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a row stands among the others of its section.

    Attributes:
        comparisons: Its differences to the reference by metric; empty for the reference itself.
        rank: By the section's headline; None where it may be any, as with fewer than three seeds.
    """

    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    rank: RankInterval | None = None


@dataclass(frozen=True)
class Tried:
    """A candidate of a method: its cells on the tuning set, and what it scored there.

    Attributes:
        trial: What it is chosen by.
        cells: One for each tuning seed.
        scores: What candidates can be scored by, by the metric's name, with intervals that decide
            nothing; the trial says which of them counts.
        forgetting: By task, `drift` among them.
    """

    trial: Trial
    cells: tuple[Cell, ...]
    scores: dict[str, Estimate]
    forgetting: dict[str, Forgotten]


@dataclass(frozen=True)
class Tuning:
    """How the setting of a row was chosen.

    Attributes:
        over: What was tuned.
        tried: The candidates, by their values.
        best: The one that is best on the tuning set; None where none ended well.
        trained: The one whose cells on the reporting set the row shows: the best, unless that has
            none yet.
        earlier: Others with cells on the reporting set, which are not shown.
    """

    over: tuple[str, ...]
    tried: tuple[Tried, ...]
    best: Trial | None
    trained: Trial | None
    earlier: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One method in one setting.

    Attributes:
        label: The method as people write it, with what sets it apart from other rows of it.
        spec: Of its first cell; all but the seed is shared.
        cells: The done ones, by seed.
        forgetting: By task, `drift` among them.
        evaluated: What was learned by tasks of `--evaluate`, by task.
        metrics: By name: those of the metric table, the share learned at the half dose, and costs
            at equal learning such as `drift_at_90`.
        standing: Against the reference and the other rows.
        half_dose: The epochs of its section's half dose; None where there is none.
        tuning: How its setting was chosen, where there was a choice.
    """

    label: str
    spec: CellSpec
    cells: tuple[Cell, ...]
    failures: tuple[Failure, ...]
    metrics: dict[str, Estimate | None]
    forgetting: dict[str, Forgotten]
    phases: dict[PhaseName, Cost]
    standing: Standing = field(default_factory=Standing)
    tuning: Tuning | None = None
    half_dose: int | None = None
    evaluated: dict[str, Learned] = field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that are done."""
        return tuple(cell.record.spec.seed for cell in self.cells)

    @property
    def interval_kind(self) -> IntervalKind:
        """What most of the row's intervals cover, by its number of seeds."""
        return IntervalKind.of(len(self.cells))

    @property
    def peak_bytes(self) -> int | None:
        """The highest peak of memory over all phases; None if that of a phase is not known."""
        peaks = [cost.peak_bytes for cost in self.phases.values()]
        return max((p for p in peaks if p is not None), default=None) if None not in peaks else None

    def first(self, field: str) -> float | None:
        """Return the first value that its done cells recorded for a field of the record."""
        values = (getattr(cell.record, field) for cell in self.cells)
        return next((value for value in values if value is not None), None)


@dataclass(frozen=True, slots=True)
class Published:
    """A published value beside a row's own, all in percent.

    Attributes:
        title: Where it stands, for people.
        label, task: The row, and the task that is scored.
        ours: The row's own score; None where it was not measured.
        items: Of how many items.
        scores: The published ones, by source.
        band: What counts as the same.
        sources: What each source is.
    """

    title: str
    label: str
    task: str
    ours: float | None
    items: int | None
    scores: Mapping[str, float]
    band: tuple[float, float]
    sources: Mapping[str, str]

    @property
    def is_hit(self) -> bool | None:
        """Whether the row's own score is within the band; None where it has none."""
        return None if self.ours is None else self.band[0] <= self.ours <= self.band[1]


@dataclass(frozen=True)
class Section:
    """Rows that may be compared with each other, best first; `title` is unique.

    Attributes:
        headline: The metric that ranks are of.
        reference: Label of the row that the others are compared with; empty where there is none.
        ranked: By label the headline of the rows that can be ranked.
        published: Published values that rows match.
    """

    title: str
    model: str
    task: str
    facts: int
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]
    headline: str = "reliability"
    reference: str = ""
    ranked: Mapping[str, Measured] = field(default_factory=dict)
    published: tuple[Published, ...] = ()

    @property
    def held_out(self) -> bool:
        """Whether other things were trained than are asked, as for a skill or a text."""
        return any(row.spec.lessons for row in self.rows)

    @property
    def asks(self) -> Asks:
        """What it asks; of older records, and where all failed, by what was trained."""
        tuned = (entry for row in self.rows if row.tuning for entry in row.tuning.tried)
        cells = [*(row.cells for row in self.rows), *(entry.cells for entry in tuned)]
        found = (cell.record.asks for some in cells for cell in some)
        return next(filter(None, found), Asks.PROBLEMS if self.held_out else Asks.FACTS)

    @property
    def asked(self) -> str:
        """What its numbers are about: `64 facts`, `1 held-out problem`; or what is trained only."""
        if not self.facts:
            trained = self.rows[0].spec.trained
            noun = "passage" if self.asks is Asks.QUESTIONS else "example"
            return f"{trained:,} trained {noun}" + ("" if trained == 1 else "s")
        return f"{self.facts} {self.asks.noun}" + ("" if self.facts == 1 else "s")

    def worded(self, text: str) -> str:
        """Return a text about facts in the words of what is asked: problems, or questions."""

        def word(found: re.Match[str]) -> str:
            items = self.asks.items
            item = items if found["many"] else items.removesuffix("s")
            return item.capitalize() if found["fact"][0] == "F" else item

        return _FACTS.sub(word, text)

    @property
    def half_dose(self) -> int | None:
        """The epochs after which the reference had learned half of the unknown facts."""
        return self.rows[0].half_dose

    @property
    def learned(self) -> str:
        """The metric of what was learned in the end: unknown facts, if there are any.

        Of a classification it is the area under the ROC curve.
        """
        if any(row.metrics.get(AUROC) for row in self.rows):
            return AUROC
        unknown = "reliability_unknown"
        return unknown if any(row.metrics[unknown] for row in self.rows) else "reliability"

    @property
    def done(self) -> tuple[Row, ...]:
        """Rows with at least one done cell."""
        return tuple(row for row in self.rows if row.cells)

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds that any row has."""
        return tuple(sorted({seed for row in self.rows for seed in row.seeds}))

    @property
    def forgetting_tasks(self) -> tuple[str, ...]:
        """Names of the forgetting tasks, `drift` last."""
        names = {name for row in self.rows for name in row.forgetting}
        return tuple(sorted(names, key=lambda name: (name == DRIFT, name)))

    @property
    def evaluated_tasks(self) -> tuple[str, ...]:
        """Names of the tasks of `--evaluate`."""
        return tuple(sorted({name for row in self.rows for name in row.evaluated}))


@dataclass(frozen=True)
class Leaderboard:
    """All sections, files of the folder that could not be read, and methods over all sections.

    Attributes:
        beside: Results of another suite, which stand in a table of their own.
    """

    sections: tuple[Section, ...]
    problems: tuple[str, ...] = ()
    overall: OverallRanks | None = None
    beside: SuiteResults | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of all sections."""
        return tuple(row for section in self.sections for row in section.rows)
