"""When a result that a model wrote counts as the one that was wanted.

The rules are those of CorDA's `inference/grader.py` and `util.py`, in our words, with two
differences. Values are computed by `tasks.problems.expressions`, not by running what a model wrote.
And where their normal form fails, their code compares the answer with itself, so that `x/2` is
right whatever was asked; here it must be the wanted text or have its value.
"""

from __future__ import annotations

import re

from tasks.problems.expressions import same_value
from tasks.problems.notation import normal_form
from tasks.problems.numbers import number, same_number


def same_result(said: str, wanted: str) -> bool:
    """Return whether two results count as the same, after both are brought to normal form."""
    said, wanted = normal_form(said), normal_form(wanted)
    return said == wanted or (bool(said) and _same(said, wanted))


def _same(said: str, wanted: str) -> bool:
    ours, theirs = number(said), number(wanted)
    if ours is not None and theirs is not None:
        return same_number(ours, theirs)
    if _same_bare(said, wanted):
        return True
    return _same_parts(said, wanted) or same_value(said, wanted)


def _same_bare(said: str, wanted: str) -> bool:
    """Return whether two texts are the same but for braces, parentheses and outer brackets.

    Brackets are kept where one text has brackets and the other parentheses: they tell closed
    from open intervals.
    """
    for (opening, closing), other in (("[]", "("), ("()", "[")):
        if said[:1] == opening and said[-1:] == closing and not wanted.startswith(other):
            said, wanted = said.strip("[]()"), wanted.strip("[]()")
    return re.sub(r"[{}()]", "", said) == re.sub(r"[{}()]", "", wanted)


def _same_parts(said: str, wanted: str) -> bool:
    """Return whether two lists or tuples of the same kind have the same parts in the same order."""
    for opening, closing in ("[]", "()"):
        if all(t.startswith(opening) and t.endswith(closing) for t in (said, wanted)):
            ours, theirs = said[1:-1].split(","), wanted[1:-1].split(",")
            return len(ours) == len(theirs) and all(map(_same_part, ours, theirs))
    return False


def _same_part(said: str, wanted: str) -> bool:
    return said == wanted or (bool(said) and _same(said, wanted))
