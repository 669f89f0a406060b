"""Reads a file in a published format as facts.

Nobody can edit twenty thousand records that others wrote. What an own facts file is refused for
(a question asked twice, a neighbour that is trained) is left out here, and counted in one warning.
What follows from a question that comes again with the same answer is kept.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tasks.consequences import linked
from tasks.errors import UsageError
from tasks.fact import Consequence, Fact
from tasks.file_rows import distinct, fact_of_row
from tasks.formats.record import Format, SkippedError
from tasks.leakage import without_leaks
from tasks.row import Row
from tasks.scoring import exact_match, normalise

_LOG = logging.getLogger(__name__)


def published_facts(path: Path, form: Format, rows: Iterable[Row]) -> tuple[Fact, ...]:
    """Return the facts in the rows of a file, without repetitions and without overlaps.

    Args:
        path: The file, for messages.
        form: Its format.
        rows: All of its rows.

    Raises:
        UsageError: A record lacks what its format has, or no fact is left.
    """
    left_out: Counter[str] = Counter()
    facts: dict[str, Fact] = {}
    ids: set[str] = set()
    total = 0
    for row in rows:
        for record in form.records(row):
            total += 1
            try:
                fact = fact_of_row(Row(record.path, record.place, form.fact(record)))
            except SkippedError as error:
                left_out[str(error)] += 1
                continue
            fact = replace(fact, group=form.group(record))
            asked = normalise(fact.question)
            if asked in facts:
                agrees = exact_match(fact.target, facts[asked].answers)
                if agrees:
                    facts[asked] = _with_consequences(facts[asked], fact.consequences)
                left_out[
                    "with an earlier question"
                    if agrees
                    else "with another answer to an earlier question"
                ] += 1
                continue
            if fact.id in ids:  # files that were joined count from 0 again
                fact = replace(fact, id=f"{fact.id}/{total}")
            ids.add(fact.id)
            facts[asked] = fact
    _warn(path, f"{left_out.total()} of {total} {form.name} records are left out", left_out)
    if not facts:
        raise UsageError(f"{path}: contains no {form.name} record that can be trained")
    clean = without_leaks(replace(f, paraphrases=distinct(f.paraphrases)) for f in facts.values())
    found = linked(clean.facts)
    said = {
        "paraphrases that are asked of another fact": clean.paraphrases,
        "neighbours that are asked of a trained fact": clean.neighbours,
        "phrasings of consequences that are asked of another fact": clean.consequences,
        "consequences with a hop that is trained with another answer": found.contradicted,
    }
    _warn(path, "left out", Counter(said))
    return found.facts


def _with_consequences(fact: Fact, more: tuple[Consequence, ...]) -> Fact:
    """Add what follows from the same edit in another record."""
    return replace(fact, consequences=tuple(dict.fromkeys((*fact.consequences, *more))))


def _warn(path: Path, what: str, counts: Counter[str]) -> None:
    said = ", ".join(f"{count} {reason}" for reason, count in counts.most_common() if count)
    if said:
        _LOG.warning("%s: %s: %s", path, what, said)
