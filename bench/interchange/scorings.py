"""Rules by which stored answers are judged anew: those of this program, and functions of users."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

from bench.failures import first_line
from tasks.errors import UsageError, unknown_name
from tasks.extraction import agrees, extractors
from tasks.problems.base import problem_sets
from tasks.scoring import exact_match, normalise

Judge = Callable[[str, Sequence[str]], bool]
"""Whether an answer is right, given the accepted ones."""

AS_STORED = "task"
"""The rule of the task itself, which gave the stored numbers."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """A rule.

    Attributes:
        name: As it is typed and shown.
        judge: The rule; None for the task's own.
        digest: Of the file of a user's function; empty otherwise.
    """

    name: str
    judge: Judge | None
    digest: str = ""


def contains(answer: str, accepted: Sequence[str]) -> bool:
    """Return whether an answer contains an accepted one as whole words, or is one."""
    said = _words(answer)
    return exact_match(answer, accepted) or any(_words(one) in said for one in accepted)


def first_line_only(answer: str, accepted: Sequence[str]) -> bool:
    """Return whether the first line of an answer that holds anything is an accepted one."""
    lines = (line for line in answer.splitlines() if line.strip())
    return exact_match(next(lines, ""), accepted)


def result_of(name: str, answer: str, accepted: Sequence[str]) -> bool:
    """Return whether what an extractor finds in an answer agrees with an accepted one."""
    return any(agrees(name, answer, one) for one in accepted)


_RULES: dict[str, Judge] = {
    "exact": exact_match,
    "contains": contains,
    "first-line": first_line_only,
}


def judges() -> dict[str, Judge]:
    """Return all rules by name: whole answers first, then each extractor's."""
    problem_sets()  # they register extractors of their own
    return {**_RULES, **{name: partial(result_of, name) for name in extractors()}}


def scoring_named(name: str) -> Scoring:
    """Return the rule of a name.

    Raises:
        UsageError: There is none.
    """
    known = judges()
    if name not in (AS_STORED, *known):
        raise unknown_name("scoring", name, [AS_STORED, *known])
    return Scoring(name, known.get(name))


def own_scoring(place: str) -> Scoring:
    """Return a user's rule: a function of an answer and the list of accepted ones.

    Args:
        place: `FILE.py:FUNCTION`.

    Raises:
        UsageError: There is no such file or function, or the file cannot be run.
    """
    file, colon, function = place.rpartition(":")
    if not colon or not file or not function:
        raise UsageError(f"--metric {place}: write FILE.py:FUNCTION, as in my_rule.py:lenient")
    path = Path(file)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise UsageError(f"--metric {place}: cannot read '{file}': {error.strerror}") from error
    found = getattr(_loaded(path, place), function, None)
    if not callable(found):
        raise UsageError(f"--metric {place}: '{file}' has no function '{function}'")
    return Scoring(f"{path.name}:{function}", partial(_true_or_false, found, place), digest)


def _loaded(path: Path, place: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"--metric {place}: '{path}' is no Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises
        raise UsageError(f"--metric {place}: '{path}' fails: {first_line(error)}") from error
    return module


def _true_or_false(
    function: Callable[..., object], place: str, answer: str, accepted: Sequence[str]
) -> bool:
    try:
        found = function(answer, list(accepted))
    except Exception as error:  # whatever a user's function raises
        raise UsageError(
            f"--metric {place} fails on the answer {answer[:60]!r}: {first_line(error)}"
        ) from error
    if hasattr(found, "item"):  # a value of numpy or torch
        found = found.item()
    if isinstance(found, bool | int | float) and found in (0, 1):
        return bool(found)
    raise UsageError(
        f"--metric {place} must return True or False; for the answer {answer[:60]!r} it "
        f"returned {str(found)[:60]}"
    )


def _words(text: str) -> str:
    return f" {' '.join(map(normalise, text.split()))} "
