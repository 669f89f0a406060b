"""What of a long answer is compared: the final result of worked steps, a code block, a label.

An extractor takes an answer and returns what of it counts; nothing (an empty text) is never
correct. `Fact.extract` names the extractor of a fact, which is applied to its accepted answers too.
"""

from __future__ import annotations

from collections.abc import Callable

from tasks.errors import unknown_name

Extractor = Callable[[str], str]

_EXTRACTORS: dict[str, Extractor] = {}


def extractor(name: str) -> Callable[[Extractor], Extractor]:
    """Return a decorator that registers an extractor under a name."""

    def add(function: Extractor) -> Extractor:
        _EXTRACTORS[name] = function
        return function

    return add


def extracted(name: str, answer: str) -> str:
    """Return what of an answer is compared; empty if it has nothing of the kind.

    Raises:
        UsageError: There is no extractor of that name.
    """
    if name not in _EXTRACTORS:
        raise unknown_name("extractor", name, _EXTRACTORS)
    return _EXTRACTORS[name](answer)


@extractor("result")
def result(answer: str) -> str:
    """Return what follows the last `=` of worked steps on one line: `4 + 3 = 7` gives `7`."""
    _, found, said = answer.rpartition("=")
    return said.strip() if found else ""
