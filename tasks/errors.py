"""Errors in what a person wrote, each explained in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """Input that a person can correct.

    The text is one line that names what was given and what would be right. The command line prints
    it and exits with status 2.
    """


class UnavailableError(UsageError):
    """Data or a model that lies neither here nor, as far as can be told now, on the hub."""


def nearest(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """Return up to `limit` of the `known` names that are most similar to `name`, best first."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=limit, cutoff=0.5)
    return [by_folded[folded] for folded in found]


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name that is not known.

    Args:
        kind: What is named, for example `task`.
        name: The unknown name.
        known: All names of this kind; near ones are suggested.
    """
    names = sorted(known)
    close = nearest(name, names)
    hint = (
        f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names) or 'none'}"
    )
    return UsageError(f"unknown {kind} '{name}': {hint}")
