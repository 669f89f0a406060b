"""The comparison of two runs of lm-eval as a table, as lines, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bench.interchange.compare_samples import SamplesComparison, TaskComparison
from bench.redaction import safe_text
from bench.report.statistics.paired_items import PairedTest
from bench.report.tables.format import MISSING
from bench.report.tables.terminal import render

_METRIC_WIDTH = 16


def comparison_text(found: SamplesComparison, shown: int, *, width: int, color: bool) -> str:
    """Return the comparison for a terminal.

    Args:
        found: The comparison.
        shown: How many documents to show of each comparison, of those that changed most.
        width: Columns of the terminal.
        color: Whether it understands colour.
    """
    parts: list[RenderableType] = [
        Text(safe_text(f"A: {found.first}")),
        Text(safe_text(f"B: {found.second}")),
        "",
        _table(found.rows),
        "",
    ]
    parts += [Text(safe_text(line)) for line in (_verdict(found.rows), *_how(found.rows))]
    parts += [Text(safe_text(f"note: {line}"), style="yellow") for line in found.notes]
    parts += [Text(safe_text(f"skipped: {line}"), style="red") for line in found.problems]
    for row in found.rows if shown else ():
        parts += ["", *(Text(safe_text(line)) for line in _documents(row, shown))]
    return render(parts, width=width, color=color)


def comparison_csv(found: SamplesComparison) -> str:
    """Return the comparison as plain numbers, empty where missing."""
    text = io.StringIO()
    columns = (
        "task filter metric items a b a_higher b_higher difference difference_low difference_high "
        "test p p_holm"
    )
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns.split())
    for row in found.rows:
        one, interval = row.found, row.found.difference.interval
        ends = (interval.low, interval.high) if interval else ("", "")
        tested = ["" if p is None else p for p in (one.p, row.p_holm)]
        higher = (one.first_higher, one.second_higher)
        named = (row.task, row.filter, row.metric, row.items)
        means = (one.first, one.second, *higher, one.difference.value)
        writer.writerow([*named, *means, *ends, one.test.value, *tested])
    return text.getvalue()


def _table(rows: Sequence[TaskComparison]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    table.add_column("task", overflow="fold")
    longest = max(len(row.name) for row in rows)
    table.add_column("metric", overflow="fold", min_width=min(longest, _METRIC_WIDTH))
    tests = {row.found.test for row in rows}
    higher = ("only A", "only B") if tests == {PairedTest.MCNEMAR} else ("A higher", "B higher")
    for header in ("items", "A", "B", *higher, "B - A [95%]", "p", "Holm"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        style = "bold" if row.differs else ""
        table.add_row(*(Text(safe_text(text)) for text in _cells(row)), style=style)
    return table


def _cells(row: TaskComparison) -> list[str]:
    found = row.found
    interval = found.difference.interval
    ends = f" [{_signed(interval.low)}, {_signed(interval.high)}]" if interval else ""
    return [
        row.task,
        row.name,
        f"{row.items:,}",
        _value(found.first),
        _value(found.second),
        f"{found.first_higher:,}",
        f"{found.second_higher:,}",
        f"{_signed(found.difference.value)}{ends}",
        _p(found.p),
        _p(row.p_holm),
    ]


def _value(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"


def _signed(value: float) -> str:
    text = f"{value:+.3f}" if abs(value) < 100 else f"{value:+.1f}"
    return text.lstrip("+-") if not float(text) else text


def _p(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


def _verdict(rows: Sequence[TaskComparison]) -> str:
    differ = [f"{row.task} {row.name}" for row in rows if row.differs]
    tested = sum(row.p_holm is not None for row in rows)
    if not tested:
        return "Nothing is tested: that takes five documents that both runs have."
    count = "1 comparison" if tested == 1 else f"{tested} comparisons"
    if not differ:
        return f"Of {count}, none differs at 5% after Holm's correction."
    return f"Of {count}, {len(differ)} at 5% after Holm's correction: {', '.join(differ)}."


def _how(rows: Sequence[TaskComparison]) -> list[str]:
    """Say how the numbers were computed."""
    lines = []
    tests = {row.found.test for row in rows}
    if PairedTest.MCNEMAR in tests:
        lines.append(
            "Right or wrong: p by McNemar's exact test over the documents that only A or only B "
            "gets right. The interval is Bonett and Price's; near 0 the exact test is stricter."
        )
    if PairedTest.STUDENT in tests:
        lines.append("Other scores: Student's paired test and interval over documents.")
    lines.append(
        "Holm: p corrected for all comparisons of the table. Intervals are over documents only, "
        "not corrected; another seed or prompt may differ by more. Whether more is better depends "
        "on the metric."
    )
    return lines


def _documents(row: TaskComparison, shown: int) -> list[str]:
    """Return the documents of a comparison that changed most, half of them in each direction."""
    if not row.changed:
        return []
    # Sorted by how much they changed: losses stand first, gains last.
    half = (shown + 1) // 2
    some = (
        row.changed[:shown]
        if len(row.changed) <= shown
        else (*row.changed[:half], *row.changed[len(row.changed) - shown + half :])
    )
    lines = [f"{row.task} {row.name}: {len(some)} of {len(row.changed)} documents that changed"]
    for a, b in some:
        scores = (_value(one.scores[row.metric] or 0.0) for one in (a, b))
        lines.append(f"  {' -> '.join(scores)}  {_one_line(a.asked)}")
        lines.append(f"    wanted {_one_line(a.target)!r}")
        lines.append(f"    A said {_one_line(a.answer)!r}; B said {_one_line(b.answer)!r}")
    return lines


def _one_line(text: str) -> str:
    return " ".join(text.split())[:160]
