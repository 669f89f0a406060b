"""Results of PEFT's method comparison as a table of its own."""

from __future__ import annotations

from bench.report.leaderboard.board import Leaderboard
from bench.report.leaderboard.suite_results import SuiteRow
from bench.report.tables.format import MISSING, TextTable, count, duration, memory, percent

HEADING = "Results of PEFT's method comparison"

_REMARK = (
    "Read from {folder}, as the files there say. Nothing in this table is compared with the rows "
    "above or ranked among them: the second column says what each result lacks for that. "
    "Forgetting is the rise of the loss on texts of Wikipedia, another quantity than drift."
)


def suite_table(board: Leaderboard) -> TextTable | None:
    """Return the results that stand beside a board; None where there are none."""
    found = board.beside
    if found is None or not found.rows:
        return None
    return TextTable(
        headers=[
            "method",
            "lacks",
            "model and data",
            "test accuracy (%) ↑",
            "forgetting (nats) ↓",
            "trainable parameters ↓",
            "train time ↓",
            "accelerator memory ↓",
        ],
        lines=[_line(row, board) for row in found.rows],
        remark=_REMARK.format(folder=found.folder),
    )


def _line(row: SuiteRow, board: Leaderboard) -> list[str]:
    exported = [f"exported by this program from cell {row.cell[:8]}"] if row.cell else []
    return [
        row.experiment,
        "; ".join([*row.lacks(board.sections), *exported]),
        f"{row.model} on {', '.join(row.data) or MISSING}",
        MISSING if row.accuracy is None else percent(row.accuracy),
        MISSING if row.forgetting is None else f"{row.forgetting:.3f}",
        count(row.parameters),
        MISSING if row.seconds is None else duration(row.seconds),
        memory(row.peak_bytes),
    ]
