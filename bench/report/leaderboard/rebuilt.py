"""Which parts of a method rest on a formula that was rebuilt rather than read."""

from __future__ import annotations

from methods.parts import ADAPTERS, PLACEMENTS, STRATEGIES
from tasks.errors import UsageError
from tasks.notation import parse_part, split_outside_brackets

REBUILT = "rebuilt"


def rebuilt_parts(method: str) -> tuple[str, ...]:
    """Return the names of the installed parts of a `method` whose certainty is 'rebuilt'.

    A record may name parts that are not installed here; nothing is said about those.
    """
    try:
        names = [parse_part(part)[0] for part in split_outside_brackets(method, "+")]
    except UsageError:
        return ()
    registries = (ADAPTERS, PLACEMENTS, STRATEGIES)
    return tuple(
        name
        for name in names
        if any(name in parts and parts[name].certainty == REBUILT for parts in registries)
    )
