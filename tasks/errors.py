"""Bad input, told in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """Input that a person can correct: the command line prints its text and exits with status 2.

    The text is one line that names what was given and what would be right.
    """


def nearest(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """Return up to `limit` of the `known` names that look most like `name`, best first."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=limit, cutoff=0.5)
    return [by_folded[folded] for folded in found]


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Build the error for a `name` that is none of the `known` names of its `kind`."""
    names = sorted(known)
    close = nearest(name, names)
    hint = (
        f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names) or 'none'}"
    )
    return UsageError(f"unknown {kind} '{name}': {hint}")
