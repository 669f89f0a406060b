"""Facts from 10^2 to 10^6: read, encoded, measured, filtered, stored; each size in a process.

`python -m bench.pages.performance.scaling_facts MODEL FACTS` prints a `FactCosts` as JSON. The
facts are those of `fictional`, with the model's tokens and vectors. Answers are not generated: each
fact's subject stands for the answer, so that no pass of the model is needed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import overload

import torch

from bench.cell.phases import peak_bytes
from bench.evaluation.embedding_space import TextSpace
from bench.inference.contexts import Contexts
from bench.inference.encoding import Example
from bench.models.loading import Base, load_base
from bench.pages.performance.cost_curves import least_seconds
from bench.store.formats import write_parquet
from bench.store.knowledge import KnowledgeCategory
from bench.store.records import FactRow
from methods.encoder import Encoder
from methods.fact_filter import best_facts, removal_notes
from tasks.base import DataAccess
from tasks.context import Context
from tasks.fact import Fact
from tasks.knowledge.fictional import Fictional
from tasks.prompt import Prompt

RHO, LAM = 0.2, 1.0
"""The defaults of `filter`."""


@dataclass(frozen=True)
class FactCosts:
    """What a number of facts cost.

    Attributes:
        facts: The number of facts.
        seconds: Seconds by stage: reading, encoding, distance, filter, store.
        peak_bytes: Peak memory up to the filter stage, including the model.
    """

    facts: int
    seconds: dict[str, float]
    peak_bytes: int


def fact_costs(base: Base, count: int, folder: Path) -> FactCosts:
    """Time every stage from a task's facts to a stored table, without a pass of the model.

    Args:
        base: The base whose tokens and input embeddings are used.
        count: The number of facts.
        folder: Where the table is stored.
    """
    facts: list[Fact] = []
    examples: list[list[Example]] = []
    found: list[torch.Tensor] = []
    seconds = {}

    def read() -> None:
        facts[:] = Fictional(n=count).load(DataAccess())

    def measure() -> None:
        answers = [fact.subject for fact in facts]
        found[:] = [TextSpace(base, Encoder(), facts).distances(answers)]

    def choose() -> None:
        kept = best_facts(found[0], RHO, LAM, "std")
        removal_notes(found[0], kept)

    seconds["reading"] = least_seconds(read)
    contexts = Contexts(base.tokenizer, Prompt(()))
    encode = partial(contexts.examples, Context.PLAIN, facts)
    seconds["encoding"] = least_seconds(lambda: examples.__setitem__(slice(None), [encode()]))
    seconds["distance"] = least_seconds(measure)
    seconds["filter"] = least_seconds(choose)
    peak = peak_bytes()
    rows = LazyFactRows(facts, found[0].tolist())
    seconds["store"] = least_seconds(lambda: write_parquet(rows, folder / "facts.parquet"))
    return FactCosts(count, seconds, peak)


class LazyFactRows(Sequence[FactRow]):
    """Rows of learned facts that are made when they are read, so that a million fit in memory."""

    def __init__(self, facts: Sequence[Fact], distances: Sequence[float]) -> None:
        self._facts, self._distances = facts, distances

    def __len__(self) -> int:
        return len(self._facts)

    @overload
    def __getitem__(self, index: int) -> FactRow: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FactRow]: ...
    def __getitem__(self, index: int | slice) -> FactRow | Sequence[FactRow]:
        """Return one row, or a list of them."""
        if isinstance(index, slice):
            return [self._row(number) for number in range(*index.indices(len(self)))]
        return self._row(index)

    def _row(self, index: int) -> FactRow:
        fact, distance = self._facts[index], self._distances[index]
        return FactRow(
            fact_id=fact.id,
            question=fact.question,
            target=fact.target,
            answers=list(fact.answers),
            relation=fact.relation,
            subject=fact.subject,
            answer_before=fact.subject,
            answer_before_trained=fact.subject,
            answer_after=fact.target,
            answer_few_shot=fact.target,
            answer_plain=fact.target,
            answer_bare=fact.target,
            correct_before=False,
            knowledge=KnowledgeCategory.UNKNOWN,
            correct_after=True,
            epochs_to_learn=1,
            f1_before=0.0,
            f1_after=1.0,
            distance_before=distance,
            distance_few_shot=0.0,
            distance_after=0.0,
            movement=distance,
            nll_before=2.0,
            nll_after=0.1,
            generality=1.0,
            locality=1.0,
            empty_before=False,
            empty_few_shot=False,
            empty_after=False,
            weight=1.0,
            kept=True,
            curve=[0.5, 1.0],
            old_answers=[],
        )


def main(model: str, count: str) -> None:
    """Print the costs of a number of facts."""
    base = load_base(model)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asdict(fact_costs(base, int(count), Path(folder)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
