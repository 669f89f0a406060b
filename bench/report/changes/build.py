"""Reads two results folders, pairs their cells, and compares them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report.changes.compare import Change, RowChange, row_changes
from bench.report.changes.facts import ReadCell, read_cells
from bench.report.changes.pairs import (
    CHOSEN,
    VERSIONS,
    CellPair,
    Unpaired,
    matched,
    section_key,
)
from bench.report.leaderboard.build import section_titles
from bench.report.leaderboard.labels import setting_labels
from bench.report.leaderboard.load import stored_records
from bench.report.statistics.comparison import Verdict
from bench.report.statistics.intervals import DECIDING_SEEDS
from bench.store.asks import Asks
from bench.store.records import CellRecord, CellSpec, Status
from bench.store.store import ResultsStore

NOT_SOFTWARE = ("finished",)
"""What a record's provenance says that differs between any two runs."""


@dataclass(frozen=True)
class Side:
    """One of the two folders: its path, the number of its cells, lines on its damaged files."""

    folder: Path
    cells: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class SectionChange:
    """Rows that stand in one table; `asked` is what their numbers are about: `64 facts`."""

    title: str
    asked: str
    model: str
    task: str
    rows: tuple[RowChange, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not a result and differs in so many pairs of cells.

    Attributes:
        what: `peft`, `python`, `source_digest`.
        a, b: Its values; empty where a record does not say.
        cells: In how many pairs.
        labels: The methods of these, for what belongs to a method.
    """

    what: str
    a: str
    b: str
    cells: int
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Changes:
    """What changed from folder A to folder B.

    Attributes:
        a, b: The folders.
        sections: What was compared.
        pairs: The cells that both have, however they ended.
        alike: How many of these took the same optimizer steps, bit for bit.
        versions: In which versions identities of the pairs differ.
        software: What else differs of what they were measured with.
        ended: Pairs of which not both are done.
        only_a, only_b: Cells that one folder alone has.
        candidates: How many cells on tuning sets were left out.
    """

    a: Side
    b: Side
    sections: tuple[SectionChange, ...]
    pairs: tuple[CellPair, ...]
    alike: int
    versions: tuple[Difference, ...]
    software: tuple[Difference, ...]
    ended: tuple[CellPair, ...]
    only_a: tuple[Unpaired, ...]
    only_b: tuple[Unpaired, ...]
    candidates: int

    @property
    def rows(self) -> tuple[RowChange, ...]:
        """The rows of all sections."""
        return tuple(row for section in self.sections for row in section.rows)

    @property
    def changes(self) -> tuple[Change, ...]:
        """All measures of all rows."""
        return tuple(change for row in self.rows for change in row.changes.values())

    @property
    def moved(self) -> tuple[Change, ...]:
        """Those in which anything differs."""
        return tuple(change for change in self.changes if change.moved)

    @property
    def marked(self) -> tuple[Change, ...]:
        """Those that the statistics mark as better or worse."""
        decided = (Verdict.BETTER, Verdict.WORSE)
        return tuple(c for c in self.changes if c.comparison.verdict in decided)

    @property
    def decides(self) -> bool:
        """Whether any row has seeds enough for a mark."""
        return any(len(row.pairs) >= DECIDING_SEEDS for row in self.rows)


def changes_between(a: Path, b: Path) -> Changes:
    """Compare two results folders; damaged files are listed, not compared.

    Args:
        a: The folder that the other one is compared with.
        b: The other one; differences are B minus A.

    Raises:
        UsageError: One holds no cells at all.
    """
    stored = [stored_records(folder) for folder in (a, b)]
    reported = [[r for r in found.records if _is_reported(r)] for found in stored]
    found = matched(*reported)
    done = [p for p in found.pairs if p.a.status is Status.DONE is p.b.status]
    read_a, damaged_a = read_cells(ResultsStore(a), [pair.a for pair in done])
    read_b, damaged_b = read_cells(ResultsStore(b), [pair.b for pair in done])
    cells = [
        (read_a[pair.a.cell_id], read_b[pair.b.cell_id])
        for pair in done
        if pair.a.cell_id in read_a and pair.b.cell_id in read_b
    ]
    damaged = [(*stored[0].problems, *damaged_a), (*stored[1].problems, *damaged_b)]
    return Changes(
        a=Side(a, len(reported[0]), damaged[0]),
        b=Side(b, len(reported[1]), damaged[1]),
        sections=_sections(cells),
        pairs=found.pairs,
        alike=sum(_trained_alike(pair) for pair in done),
        versions=_versions(found.pairs),
        software=_software(found.pairs),
        ended=tuple(pair for pair in found.pairs if pair.a.status is not pair.b.status),
        only_a=found.only_a,
        only_b=found.only_b,
        candidates=sum(len(s.records) - len(r) for s, r in zip(stored, reported, strict=True)),
    )


def _is_reported(record: CellRecord) -> bool:
    return not record.spec.is_candidate


def _trained_alike(pair: CellPair) -> bool:
    return bool(pair.a.losses_digest) and pair.a.losses_digest == pair.b.losses_digest


_Pairs = list[tuple[ReadCell, ReadCell]]


def _sections(cells: Iterable[tuple[ReadCell, ReadCell]]) -> tuple[SectionChange, ...]:
    """Compare all rows together, and put them into tables."""
    grouped: dict[tuple[str, ...], dict[tuple[str, ...], _Pairs]] = {}
    for pair in cells:
        section = grouped.setdefault(section_key(_spec(pair)), {})
        section.setdefault(_row_key(pair), []).append(pair)
    tables = [list(rows.values()) for rows in grouped.values()]
    labels = [_labels([_spec(pairs[0]) for pairs in table]) for table in tables]
    named = [
        row
        for of_table, table in zip(labels, tables, strict=True)
        for row in zip(of_table, table, strict=True)
    ]
    found = iter(row_changes(named))
    titles = section_titles([_spec(table[0][0]) for table in tables])
    sections = [
        _section(title, [next(found) for _ in table])
        for title, table in zip(titles, tables, strict=True)
    ]
    return tuple(sections)


def _spec(pair: tuple[ReadCell, ReadCell]) -> CellSpec:
    return pair[1].cell.record.spec


def _row_key(pair: tuple[ReadCell, ReadCell]) -> tuple[str, ...]:
    """Return what the cells of a row share: all but the seed, in either folder."""
    specs = [side.cell.record.spec for side in pair]
    versions = (str(read(spec)) for spec in specs for read in VERSIONS.values())
    return (*(str(read(specs[1])) for read in CHOSEN.values()), *versions)


def _labels(specs: Sequence[CellSpec]) -> list[str]:
    """Return a label for each row of a table; rows that differ in A alone are numbered."""
    labels = setting_labels([(spec.asked, spec) for spec in specs])
    found: list[str] = []
    for label in labels:
        number = sum(1 for other in found if other.partition(" #")[0] == label) + 1
        found.append(label if number == 1 else f"{label} #{number}")
    return found


def _section(title: str, rows: list[RowChange]) -> SectionChange:
    record = rows[0].pairs[0][1].cell.record
    spec, asks = record.spec, record.asks or Asks.FACTS
    noun = asks.noun if spec.facts == 1 else f"{asks.noun}s"
    asked = f"{spec.facts} {noun}" if spec.facts else f"{spec.trained} trained"
    return SectionChange(title, asked, spec.model, spec.task, tuple(rows))


def _versions(pairs: Iterable[CellPair]) -> tuple[Difference, ...]:
    """Return in which versions identities differ, each with the methods that are concerned."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for pair in pairs:
        for name in pair.differs:
            a, b = (str(VERSIONS[name](record.spec)) for record in (pair.a, pair.b))
            found.setdefault((name, a, b), []).append(pair.b.spec.asked)
    return tuple(
        Difference(*key, len(labels), tuple(sorted(set(labels)))) for key, labels in found.items()
    )


def _software(pairs: Iterable[CellPair]) -> tuple[Difference, ...]:
    """Return in what the provenance of pairs differs, most frequent first."""
    found: Counter[tuple[str, str, str]] = Counter()
    for pair in pairs:
        a, b = (_flat(record.provenance) for record in (pair.a, pair.b))
        names = dict.fromkeys((*a, *b))
        found.update((n, a.get(n, ""), b.get(n, "")) for n in names if a.get(n) != b.get(n))
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Difference(*key, cells) for key, cells in ordered)


def _flat(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return what a cell was measured with, packages beside everything else."""
    named = {name: value for name, value in provenance.items() if name not in NOT_SOFTWARE}
    packages = named.pop("packages", {})
    together = {**named, **(packages if isinstance(packages, dict) else {})}
    return {name: str(value) for name, value in together.items()}
