"""Your own labelled texts as a task: a file with the columns `text` and `label`.

| column | meaning |
|---|---|
| `text` | the text to classify (required) |
| `label` | its label, of one line (required) |
| `split` | `train` or `test`, in all rows or in none; without it a fifth is held out by a hash |
| `subject` | whom or what the text is about; texts about one subject count as one item |
| `id` | a unique name; by default it is derived from the text |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from tasks.base import DataAccess, KnowledgeTask, Shares
from tasks.errors import UsageError
from tasks.fact import Fact, FactPart, hash_fraction
from tasks.form import LABELLED, Form
from tasks.formats.known import format_of
from tasks.labels.labelled_rows import LabelledRows
from tasks.notation import canonical
from tasks.rows import read_rows


@dataclass(frozen=True)
class OwnLabels(KnowledgeTask):
    """Texts and labels from your own file.

    Attributes:
        path: The file, as it was written.
        balanced: Whether rare labels weigh more in training, so that all labels weigh the same:
            scikit-learn's "balanced" weights, texts / (labels * texts of the label).
    """

    source: ClassVar[str] = "a file of labelled texts"
    licence: ClassVar[str] = "its owner's"
    form: ClassVar[Form] = LABELLED
    held_out: ClassVar[bool] = True
    limit: ClassVar[int] = 1000
    epochs: ClassVar[int] = 3

    path: str
    balanced: bool = False

    @property
    def name(self) -> str:
        """The path with its parameters, as it is written on the command line."""
        return canonical(self, self.path, defaults=False, without={"path"})

    @property
    def family(self) -> str:
        """The same for every file, so that moving it does not change how texts are divided."""
        return "file"

    @property
    def shares(self) -> Shares:
        """A fifth is asked, and a few texts are shown as demonstrations."""
        return Shares(train=0.75, calibration=0.05, forget=0.0, test=0.2)

    def part_of(self, fact: Fact) -> FactPart:
        """Return the part of a text: that of its row, else by a hash of its subject."""
        written = fact.id.partition("/")[0]
        if written == FactPart.TEST:
            return FactPart.TEST
        if written == FactPart.TRAIN:
            shown = hash_fraction("part", self.family, fact.unit) < self.shares.calibration
            return FactPart.CALIBRATION if shown else FactPart.TRAIN
        return super().part_of(fact)

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Read and check the whole file.

        Raises:
            UsageError: Something is wrong; one line names file, row and field.
        """
        rows = LabelledRows(Path(self.path).expanduser())
        for row in read_rows(rows.path, numbers_as_written=True):
            rows.add(row)
        labels = rows.labels()
        parts = {fact.id: self.part_of(fact) for fact in rows.facts}
        trained = [fact for fact in rows.facts if parts[fact.id] is FactPart.TRAIN]
        asked = [fact for fact in rows.facts if parts[fact.id] is FactPart.TEST]
        for found, does in ((trained, "train"), (asked, "hold out")):
            if not found:
                raise UsageError(
                    f"{self.path}: its {len(rows.facts)} texts leave none to {does}; give more, or "
                    "say in a column split which are for train and which for test"
                )
        counts = Counter(fact.target for fact in trained)
        if unseen := [label for label in labels if label not in counts]:
            raise UsageError(
                f"{self.path}: no text to train has the label {_named(unseen)}; give more, or say "
                "in a column split which texts are for train and which for test"
            )
        weighed = {*trained} if self.balanced else set()
        weights = {label: len(trained) / (len(counts) * counts[label]) for label in labels}
        return tuple(
            replace(fact, choices=labels, weight=weights[fact.target] if fact in weighed else 1.0)
            for fact in rows.facts
        )


def _named(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
    return ", ".join(f"'{label}'" for label in labels[:3]) + more


def is_labelled(path: Path) -> bool:
    """Return whether the columns of a file are those of labelled texts.

    A file that cannot be read is none; whoever reads it as facts says what is wrong.
    """
    try:
        seen = path.stat()
    except OSError:
        return False
    return _labelled(path, seen.st_mtime_ns, seen.st_size)


@lru_cache(maxsize=64)
def _labelled(path: Path, *seen: int) -> bool:
    """Return it for a file as it is now: a .json file is read as a whole to see its first row."""
    try:
        first = next(read_rows(path, numbers_as_written=True), None)
    except UsageError:
        return False
    return first is not None and _fits(first.values)


def _fits(values: Mapping[str, Any]) -> bool:
    named = {"text", "label"} <= values.keys() and "question" not in values
    return named and format_of(values) is None
