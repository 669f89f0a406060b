"""What skills from instructions on the hub have in common: rows, prompt and length of CorDA's code.

CorDA (arXiv 2406.05223, github.com/iboing/CorDA, `train_model.py`) trains one epoch on the first
100,000 rows of each data set, with the prompt of `tasks.alpaca`, on the response and the
end-of-sequence token alone, cut after 512 tokens. What was learned is asked elsewhere, see
`--evaluate`, so these tasks ask nothing themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar

from tasks.alpaca import ALPACA
from tasks.errors import UsageError
from tasks.fact import Fact, FactPart
from tasks.form import Form
from tasks.hub import HubTask
from tasks.row import Row

_LOG = logging.getLogger(__name__)

ROWS = 100_000
"""Rows that CorDA's code trains on: the first of each data set."""


@dataclass(frozen=True)
class Instructions(HubTask):
    """Base class of skills whose examples are instructions and responses on the hub.

    Attributes:
        revision: The version of the data set on the hub: a branch, a tag or a commit. It is part of
            the task's name; what was really read is identified by its digest in each record.
        rows: How many rows are read, from the first on.
        instruction, response: The fields of a row.
    """

    split: ClassVar[str] = "train"
    form: ClassVar[Form] = ALPACA
    held_out: ClassVar[bool] = True
    limit: ClassVar[int] = ROWS
    epochs: ClassVar[int] = 1
    instruction: ClassVar[str]
    response: ClassVar[str]

    revision: str = "main"  # type: ignore[misc]  # a parameter here, since nothing pins it
    rows: int = ROWS

    def __post_init__(self) -> None:
        """Refuse to read nothing.

        Raises:
            UsageError: `rows` is not positive.
        """
        if self.rows < 1:
            raise UsageError(f"{self.family}[rows={self.rows}]: at least one row is needed")

    def part_of(self, fact: Fact) -> FactPart:
        """Train all of them; nothing else is known that they could be asked by."""
        return FactPart.TRAIN

    def fact_of(self, row: Mapping[str, Any]) -> Fact:
        """Read the instruction and the response as they stand in the row."""
        said, wanted = row[self.instruction], row[self.response]
        if not isinstance(said, str) or not isinstance(wanted, str):
            raise TypeError(f"'{self.instruction}' and '{self.response}' must be texts")
        return Fact("", said, (wanted,))

    def _cleaned(self, facts: Iterable[Fact]) -> tuple[Fact, ...]:
        """Number the rows, from 1, and leave out those without an instruction or a response.

        Repeated instructions stay: their responses differ.
        """
        numbered = list(enumerate(islice(facts, self.rows), start=1))
        whole = [(number, f) for number, f in numbered if f.question.strip() and f.target.strip()]
        if empty := len(numbered) - len(whole):
            _LOG.warning("%s: left out %d rows without instruction or response", self.name, empty)
        return tuple(replace(fact, id=f"row {number}") for number, fact in whole)

    def _checked(self, row: Row) -> Fact:
        try:
            return self.fact_of(row.values)
        except KeyError as error:
            raise row.missing(str(error.args[0])) from error
        except TypeError as error:
            raise row.error(str(error)) from error
