"""Cells whose texts try to be markup, or to steer a terminal."""

from __future__ import annotations

from tests.bench.report_cells import make_cell

EVIL = "<script>alert('x')</script>|\x1b[31m[red]bold\n\u202eevil`"


def evil_cell(**changes):
    record, rows = make_cell(n=4, spec={"method": "lora"}, warnings=[EVIL], **changes)
    said = dict.fromkeys(("question", "answer_after", "answer_chat", "answer_few_shot"), EVIL)
    rows = [row.model_copy(update=said) for row in rows]
    return record, rows
