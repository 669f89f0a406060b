"""The rows of a file of labelled texts, checked one by one."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path

from tasks.errors import UsageError
from tasks.fact import Fact, FactPart
from tasks.row import Row, quoted
from tasks.scoring import normalise
from tasks.values import is_missing, no_value, text_of

_LOG = logging.getLogger(__name__)

MOST_LABELS = 100
"""Every text is scored with every label; a column with more of them is rather free text."""

SPLITS = (FactPart.TRAIN.value, FactPart.TEST.value)
COLUMNS = ("text", "label", "split", "subject", "id")
UNDIVIDED = "row"
"""Begins the ids of texts whose row does not say which part they are of."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A text with the place of its row, and the part that the row says, empty if it says none."""

    fact: Fact
    place: str
    split: str


@dataclass
class LabelledRows:
    """Labelled texts in the order of their rows; no text occurs twice.

    Args:
        path: The file, for messages.
    """

    path: Path
    _read: dict[str, _Read] = field(default_factory=dict)
    _spelled: dict[str, tuple[str, str]] = field(default_factory=dict)
    _subjects: dict[str, str] = field(default_factory=dict)
    _ids: dict[str, str] = field(default_factory=dict)
    _unused: dict[str, None] = field(default_factory=dict)
    _repeated: int = 0
    _shared: int = 0
    _divided: bool | None = None

    @property
    def facts(self) -> list[Fact]:
        """The texts, with their labels as answers."""
        return [read.fact for read in self._read.values()]

    def add(self, row: Row) -> None:
        """Add the text in a row, unless an earlier one has it already.

        A text that is held out by another row is not trained.

        Raises:
            UsageError: A value is missing or is none, or contradicts another row.
        """
        text, label, split = _text(row, "text"), self._label(row), self._split(row)
        form = normalise(text)
        if not form:
            raise row.error("contains only characters that cannot be seen", "text")
        known = self._read.get(form)
        if known is not None and known.fact.target != label:
            raise row.error(
                f"{quoted(text)} has the label {quoted(label)} here and "
                f"{quoted(known.fact.target)} in {known.place}",
                "label",
            )
        self._unused |= dict.fromkeys(name for name in row.values if name not in COLUMNS)
        fact = self._fact(row, text, label, split)
        if known is None:
            self._read[form] = _Read(fact, row.place, split)
        elif known.split == split:
            self._repeated += 1
        else:
            self._shared += 1
            if split == FactPart.TEST:
                self._read[form] = _Read(fact, row.place, split)

    def labels(self) -> tuple[str, ...]:
        """Return all labels, sorted; and warn of what was left out.

        Raises:
            UsageError: There are no texts, or all have the same label.
        """
        found = tuple(sorted({fact.target for fact in self.facts}))
        if not found:
            raise UsageError(f"{self.path}: contains no texts; write rows with 'text' and 'label'")
        if len(found) == 1:
            raise UsageError(
                f"{self.path}: all {len(self._read)} texts have the label {quoted(found[0])}; "
                "a classification needs two labels or more"
            )
        if self._repeated:
            _LOG.warning("%s: left out %d rows that repeat a text", self.path, self._repeated)
        if self._shared:
            _LOG.warning(
                "%s: %d texts are held out and not trained, because rows of both splits have them",
                self.path,
                self._shared,
            )
        if self._unused:
            named = ", ".join(self._unused)[:400].encode("unicode_escape").decode("ascii")
            _LOG.warning("%s: these columns are ignored: %s", self.path, named)
        return found

    def _label(self, row: Row) -> str:
        label = _text(row, "label")
        if "\n" in label or "\r" in label:
            raise row.error(f"{quoted(label)} has several lines; a label has one", "label")
        form = normalise(label)
        if not form:
            raise row.error(f"{quoted(label)} has no character that could be told apart", "label")
        spelled, place = self._spelled.setdefault(form, (label, row.place))
        if spelled != label:
            raise row.error(
                f"{quoted(label)} is written {quoted(spelled)} in {place}; write a label alike in "
                "all rows",
                "label",
            )
        if len(self._spelled) > MOST_LABELS:
            raise row.error(
                f"{quoted(label)} is label number {len(self._spelled)}, and every text is scored "
                f"with every label: at most {MOST_LABELS} are allowed",
                "label",
            )
        return label

    def _split(self, row: Row) -> str:
        value = row.values.get("split")
        missing = is_missing(row, value)
        if self._divided is None:
            self._divided = not missing
        if missing is self._divided:
            problem = (
                "is missing, but earlier rows have it" if missing else "earlier rows have none"
            )
            raise row.error(f"{problem}; write train or test in all rows or in none", "split")
        if missing:
            return ""
        split = text_of(row, "split", value).lower()
        if split not in SPLITS:
            raise row.error(f"{quoted(split)} is neither train nor test", "split")
        return split

    def _fact(self, row: Row, text: str, label: str, split: str) -> Fact:
        derived = hashlib.sha256(normalise(text).encode()).hexdigest()[:16]
        given = row.values.get("id")
        name = "" if is_missing(row, given) else text_of(row, "id", given)
        if name and (first := self._ids.setdefault(name, row.place)) != row.place:
            raise row.error(f"{quoted(name)} is also the id of {first}", "id")
        about = row.values.get("subject")
        subject = derived if is_missing(row, about) else text_of(row, "subject", about)
        return Fact(
            id=f"{split or UNDIVIDED}/{name or derived}",
            question=text,
            answers=(label,),
            relation=label,
            # Spelled as in the first row that has it: its texts stay in one part.
            subject=self._subjects.setdefault(normalise(subject), subject),
        )


def _text(row: Row, name: str) -> str:
    if name not in row.values:
        raise row.missing(name)
    value = row.values[name]
    if is_missing(row, value):
        raise row.error(no_value(value), name)
    return text_of(row, name, value)
