"""What is said beside the numbers of a comparison of two folders."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.changes.build import Changes, Difference, SectionChange, Side
from bench.report.changes.pairs import CHOSEN, VERSIONS, Unpaired
from bench.report.statistics.intervals import DECIDING_SEEDS
from bench.store.records import CellRecord

_ABOUT = {
    "model_revision": "the model's revision",
    "recipe": "the method with every parameter, defaults included",
    "source_digest": "the code of the method's parts, or a file that the method names",
    "optimizer": "the fixed values of training",
    "evaluation": "the version of the evaluation",
    "facts_digest": "the facts that are asked",
    "lessons_digest": "what is trained",
    "prompt_digest": "demonstrations, or the form of prompts and targets",
    "calibration_digest": "the facts that the method calibrates on",
    "replay_digest": "the facts that the method may replay",
    "after": "the first step",
    "tuned": "the facts of the tuning set",
}
"""What the versions of an identity are, by their names in `VERSIONS`."""

_DIGEST_SHOWN = 12

READING = (
    "Each difference is B minus A, over the facts or items and the seeds that both folders have: "
    "the same fact with the same seed is compared with itself. Brackets are 95% confidence "
    "intervals, not adjusted for multiple comparisons.",
    "▲ better in B, ▼ worse in B, ≈ no difference found, each after Holm's correction over all "
    f"rows of this comparison, for each measure separately. Without a mark, nothing was tested: "
    f"fewer than {DECIDING_SEEDS} seeds decide nothing.",
    "differ: how many of the paired facts or items have another value, beyond rounding. A measure "
    "in which none has is not shown; changes.csv has all of them.",
    "↑: more is better; ↓: less is better. The measures are those of leaderboard.md.",
)


def counts(changes: Changes) -> list[str]:
    """Say what the folders are, and how many cells they share."""
    pairs, found = len(changes.pairs), []
    for letter, side in (("A", changes.a), ("B", changes.b)):
        found.append(f"{letter}: {side.folder}, {_number(side.cells, 'cell')}")
    alone = [(changes.only_a, "A"), (changes.only_b, "B")]
    more = [f"{len(cells)} only in {letter}" for cells, letter in alone if cells]
    both = f"{_number(pairs, 'cell')} {'is' if pairs == 1 else 'are'} in both"
    found.append(", ".join([both, *more]) + ".")
    if changes.alike:
        found.append(
            f"{changes.alike} of the {_number(pairs, 'pair')} took the same training steps, bit "
            "for bit."
        )
    if changes.candidates:
        found.append(
            f"{_number(changes.candidates, 'cell')} on tuning sets, which only choose a setting, "
            "are left out."
        )
    return found


def outcome(changes: Changes) -> str:
    """Say in one sentence what changed, as far as that can be told."""
    measures, moved = len(changes.changes), len(changes.moved)
    if not changes.rows:
        return "No cell is done in both folders, so nothing is compared."
    if not moved:
        return f"Nothing changed: in all {measures:,} comparisons, every fact and item agrees."
    said = f"In {moved:,} of {_number(measures, 'comparison')} some fact or item differs"
    if not changes.decides:
        return (
            f"{said}. No row has {DECIDING_SEEDS} seeds in both folders, so nothing is tested: "
            f"fewer than {DECIDING_SEEDS} seeds decide nothing."
        )
    marked = len(changes.marked)
    if not marked:
        return f"{said}; none is marked, so chance may explain it."
    return f"{said}; {marked} of them {'is' if marked == 1 else 'are'} marked as better or worse."


def unchanged(section: SectionChange) -> str:
    """Name the rows of a table in which nothing differs; empty if there is none."""
    same = [row.label for row in section.rows if not any(c.moved for c in row.changes.values())]
    if not same:
        return ""
    if len(same) == len(section.rows):
        return "Nothing differs in " + ("any row." if len(same) > 1 else f"{same[0]}.")
    return f"Nothing differs in {', '.join(same)}."


def notes(section: SectionChange) -> list[str]:
    """Return what could not be compared in a table."""
    return [f"{row.label}: {note}" for row in section.rows for note in row.notes]


def versions(changes: Changes) -> list[str]:
    """Return in what identities of paired cells differ, a line each."""
    return [_version(found) for found in changes.versions]


def software(changes: Changes) -> list[str]:
    """Return in what the measuring of paired cells differs, a line each."""
    pairs = len(changes.pairs)
    return [
        f"{found.what}: {found.a or 'none'} → {found.b or 'none'}"
        + (f" ({found.cells} of {_number(pairs, 'cell')})" if found.cells < pairs else "")
        for found in changes.software
    ]


def ended(changes: Changes) -> list[str]:
    """Return the pairs that ended differently, a line each."""
    return [
        f"{_what(pair.b)}, seed {pair.b.spec.seed}: {_end(pair.a)} in A, {_end(pair.b)} in B"
        for pair in changes.ended
    ]


def alone(changes: Changes) -> list[str]:
    """Return the cells that only one folder has; those that differ in their seeds share a line."""
    found: dict[tuple[str, str], list[int]] = {}
    for own, other, cells in (("A", "B", changes.only_a), ("B", "A", changes.only_b)):
        for cell in cells:
            key = f"{own}: {_what(cell.record)}", _nearest(cell, other)
            found.setdefault(key, []).append(cell.record.spec.seed)
    return sorted(
        f"{what}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, sorted(seeds)))}{near}"
        for (what, near), seeds in found.items()
    )


def problems(changes: Changes) -> list[str]:
    """Return the files that could not be read, a line each."""
    sides: Sequence[tuple[str, Side]] = (("A", changes.a), ("B", changes.b))
    return [f"{letter}: {problem}" for letter, side in sides for problem in side.problems]


def listed(changes: Changes) -> dict[str, list[str]]:
    """Return by its heading what differs besides results; headings without a line are left out."""
    found = {
        "Identities that differ": versions(changes),
        "Measured with": software(changes),
        "Cells that ended differently": ended(changes),
        "Cells that only one folder has": alone(changes),
        "Files that could not be read": problems(changes),
    }
    return {heading: lines for heading, lines in found.items() if lines}


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _version(found: Difference) -> str:
    a, b = (_short(found.what, value) for value in (found.a, found.b))
    where = f"{_number(found.cells, 'cell')} of {', '.join(found.labels)}"
    return f"{found.what} ({_ABOUT[found.what]}): {a} → {b} in {where}"


def _what(record: CellRecord) -> str:
    spec = record.spec
    task = f"{spec.task} {spec.started}".strip()
    return f"{spec.method} on {task}, {spec.model}"


def _end(record: CellRecord) -> str:
    ended = record.status.value.replace("_", " ")
    return f"{ended} ({record.reason})" if record.reason else ended


def _nearest(cell: Unpaired, other: str) -> str:
    """Say in what the other folder's nearest cell differs; empty if it has none of the method."""
    if cell.near is None:
        return ""
    if not cell.differs:
        return f"; {other} has other seeds"
    a, b = cell.record.spec, cell.near.spec
    read = CHOSEN if cell.differs[0] in CHOSEN else VERSIONS
    told = [
        f"{name} {_short(name, read[name](b))} instead of {_short(name, read[name](a))}"
        for name in cell.differs
    ]
    return f"; {other} has {', '.join(told)}"


def _short(name: str, value: object) -> str:
    text = str(value)[: _DIGEST_SHOWN if name.endswith("_digest") else None]
    return text or "none"
