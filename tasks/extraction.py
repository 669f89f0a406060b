"""What of a long answer is compared: the final result of worked steps, a code block, a label.

An extractor takes an answer and returns what of it counts; nothing (an empty text) is never
correct. `Fact.extract` names the extractor of a fact, which is applied to its accepted answers too;
two results agree if they are the same text in normal form, unless the extractor says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

from tasks.errors import unknown_name
from tasks.scoring import exact_match

Extractor = Callable[[str], str]
Agreement = Callable[[str, str], bool]

_EXTRACTORS: dict[str, Extractor] = {}
_AGREEMENTS: dict[str, Agreement] = {}


def extractor(name: str, agreement: Agreement | None = None) -> Callable[[Extractor], Extractor]:
    """Return a decorator that registers an extractor under a name.

    Args:
        name: Its name, as in `Fact.extract`.
        agreement: Whether what was extracted of an answer agrees with what was extracted of an
            accepted one; without it they must be the same in normal form.
    """

    def add(function: Extractor) -> Extractor:
        _EXTRACTORS[name] = function
        if agreement is not None:
            _AGREEMENTS[name] = agreement
        return function

    return add


def extractors() -> list[str]:
    """Return the names of all extractors that are loaded."""
    return list(_EXTRACTORS)


def extracted(name: str, answer: str) -> str:
    """Return what of an answer is compared; empty if it has nothing of the kind.

    Raises:
        UsageError: There is no extractor of that name.
    """
    if name not in _EXTRACTORS:
        raise unknown_name("extractor", name, _EXTRACTORS)
    return _EXTRACTORS[name](answer)


def agrees(name: str, answer: str, accepted: str) -> bool:
    """Return whether what counts of an answer agrees with what counts of an accepted one.

    Raises:
        UsageError: There is no extractor of that name.
    """
    said, wanted = extracted(name, answer), extracted(name, accepted)
    if not said or name not in _AGREEMENTS:
        return bool(said) and exact_match(said, [wanted])
    return bool(wanted) and _AGREEMENTS[name](said, wanted)


@extractor("result")
def result(answer: str) -> str:
    """Return what follows the last `=` of worked steps on one line: `4 + 3 = 7` gives `7`."""
    _, found, said = answer.rpartition("=")
    return said.strip() if found else ""
