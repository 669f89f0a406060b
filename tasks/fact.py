"""The unit that everything is measured on: one question with one answer to learn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum


class FactPart(StrEnum):
    """The three disjoint parts of a knowledge task, fixed by a hash of the subject."""

    TRAIN = "train"
    CALIBRATION = "calibration"
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An untrained question of the same relation; it should keep the answer it had."""

    question: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact.

    Attributes:
        id: Unique within its task.
        question: The question as it is trained.
        answers: At least one; the first is trained, any of them counts as correct.
        paraphrases: Other wordings of the question, never trained.
        neighbours: Untrained questions of the same relation about other subjects.
        relation: What is asked (`capital`, `symbol`, ...), empty where unknown.
        subject: What it is asked of; facts of one subject stay in one part. Empty: the id.
        choices: Wrong and right answers for scoring as multiple choice; empty: by generation.
        old_answers: What was true before: learning the fact is an update. Empty: an injection.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    paraphrases: tuple[str, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    relation: str = ""
    subject: str = ""
    choices: tuple[str, ...] = ()
    old_answers: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The answer that is trained."""
        return self.answers[0]


def facts_digest(facts: Iterable[Fact]) -> str:
    """Return a hexadecimal digest of the facts' whole content, in their order."""
    digest = hashlib.sha256()
    for fact in facts:
        digest.update(json.dumps(_content(fact), sort_keys=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _content(fact: Fact) -> dict[str, object]:
    content = asdict(fact)
    # Younger than the digests of published tasks, which must not change where it is not used.
    if not fact.old_answers:
        del content["old_answers"]
    return content


def hash_fraction(*keys: str) -> float:
    """Map keys to a fixed pseudo-random number in [0, 1), the same on every machine."""
    digest = hashlib.sha256("\x1f".join(keys).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
