"""Results of PEFT's method comparison as a table of its own."""

from __future__ import annotations

from bench.report.leaderboard.board import Leaderboard
from bench.report.leaderboard.suite_results import SuiteRow
from bench.report.tables.format import MISSING, TextTable, count, duration, memory, percent

HEADING = "Results of PEFT's method comparison"

_REMARK = (
    "Read from {folder}, as the files there say. Nothing in this table is compared with the rows "
    "above or ranked among them: the last column says what each result lacks for that. Forgetting "
    "is the rise of the loss on texts of Wikipedia, another quantity than drift."
)


def suite_table(board: Leaderboard) -> TextTable | None:
    """Return the results that stand beside a board; None where there are none."""
    found = board.beside
    if found is None or not found.rows:
        return None
    return TextTable(
        headers=[
            "method",
            "model",
            "data",
            "type",
            "test accuracy (%) ↑",
            "forgetting (nats) ↓",
            "train loss ↓",
            "trainable parameters ↓",
            "train time ↓",
            "accelerator memory ↓",
            "lacks",
        ],
        lines=[_line(row, board) for row in found.rows],
        remark=_REMARK.format(folder=found.folder),
    )


def _line(row: SuiteRow, board: Leaderboard) -> list[str]:
    def shown(value: float | None) -> str:
        return MISSING if value is None else f"{value:.3f}"

    exported = [f"exported by this program from cell {row.cell[:8]}"] if row.cell else []
    return [
        row.experiment,
        row.model,
        ", ".join(row.data) or MISSING,
        row.peft_type or MISSING,
        MISSING if row.accuracy is None else percent(row.accuracy),
        shown(row.forgetting),
        shown(row.loss),
        count(row.parameters),
        MISSING if row.seconds is None else duration(row.seconds),
        memory(row.peak_bytes),
        "; ".join([*row.lacks(board.sections), *exported]),
    ]
