"""The facts of your own file, checked against each other.

What a person can put right is an error that names both rows, and not left out in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.leakage import Leak, TextKind, leaks
from tasks.rows import Row, quoted
from tasks.scoring import normalise


@dataclass
class FileFacts:
    """The facts of a file in order; no question and no id occurs twice.

    Args:
        path: The file, for messages.
    """

    path: Path
    facts: list[Fact] = field(default_factory=list)
    _places: list[str] = field(default_factory=list)
    _questions: set[int] = field(default_factory=set)
    _ids: set[str] = field(default_factory=set)
    _subjects: dict[str, str] = field(default_factory=dict)

    def add(self, row: Row, fact: Fact) -> None:
        """Add a fact that was read from a row.

        Raises:
            UsageError: Its question or id is also that of an earlier row, or it has a text of
                characters that cannot be seen.
        """
        self._refuse_unseen(row, fact)
        form = normalise(fact.question)
        # Kept as its hash, which takes half the memory. Another text with the same hash has no
        # place in the file.
        first = ""
        if hash(form) in self._questions:
            first = self._place(lambda other: normalise(other.question) == form)
        if first:
            raise row.error(
                f"{quoted(fact.question)} is also asked in {first}; "
                "keep one row and list further answers in 'answers'",
                "question",
            )
        if fact.id in self._ids:
            first = self._place(lambda other: other.id == fact.id)
            raise row.error(f"{quoted(fact.id)} is also the id of {first}", "id")
        self._questions.add(hash(form))
        self._ids.add(fact.id)
        self.facts.append(self._with_subject(fact))
        self._places.append(row.place)

    def check_leaks(self) -> None:
        """Refuse whatever is asked as a test that another row, or its own, gives away.

        Raises:
            UsageError: There is one; the line names both rows.
        """
        for leak in leaks(self.facts, self.facts):
            raise self._error(leak)

    def _error(self, leak: Leak) -> UsageError:
        asking = self._place(lambda fact: fact is leak.fact)
        other = self._place(lambda fact: fact is leak.trained)
        what = "the question" if leak.trained_kind is TextKind.QUESTION else "a paraphrase"
        where = "this row" if leak.fact is leak.trained else other
        if leak.kind is TextKind.NEIGHBOUR:
            reason = "a neighbour must stay untrained"
        elif leak.trained_kind is TextKind.PARAPHRASE:
            reason = "their answers differ"
        elif leak.kind is TextKind.PARAPHRASE:
            reason = "a paraphrase must be worded differently from what is trained"
        else:
            reason = "what follows from a fact must not be trained itself"
        return Row(self.path, asking, {}).error(
            f"{quoted(leak.text)} is also {what} of {where}; {reason}", leak.kind
        )

    def _with_subject(self, fact: Fact) -> Fact:
        """Spell the subject as in the first row that has it: its facts stay in one part."""
        if not fact.subject:
            return fact
        first = self._subjects.setdefault(normalise(fact.subject), fact.subject)
        return fact if first == fact.subject else replace(fact, subject=first)

    def _refuse_unseen(self, row: Row, fact: Fact) -> None:
        for name, text in [("question", fact.question), *(("answer", a) for a in fact.answers)]:
            if not normalise(text):
                raise row.error("contains only characters that cannot be seen", name)

    def _place(self, wanted: Callable[[Fact], bool]) -> str:
        """Return the place in the file of the first such fact; empty if there is none."""
        pairs = zip(self.facts, self._places, strict=True)
        return next((place for fact, place in pairs if wanted(fact)), "")
