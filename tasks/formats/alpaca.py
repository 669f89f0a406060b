"""Alpaca: an instruction, an optional input, and the output to learn.

The input follows the instruction on a line of its own. Outputs of several lines are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.formats.record import Format, text, texts, trainable
from tasks.row import Row


class Alpaca(Format):
    """`instruction`, `input`, `output`."""

    name = "Alpaca"

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Return whether there are an instruction and an output."""
        return {"instruction", "output"} <= values.keys() and "question" not in values

    def fact(self, record: Row) -> dict[str, Any]:
        """Return the instruction with its input as the question, and the output as the answer."""
        given = texts(record, "input", record.values.get("input"))
        output = record.values.get("output")
        return {
            "question": "\n".join([text(record, "instruction"), *given]),
            "answers": trainable(texts(record, "output", output)),
        }
