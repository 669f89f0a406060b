"""Which documents two sample files have in common."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest

from bench.interchange.lm_eval_samples import Sample, SampleFile
from tasks.errors import UsageError


class PairBy(StrEnum):
    """What makes two samples the same document."""

    DOC_HASH = "doc_hash"
    DOC_ID = "doc_id"


@dataclass(frozen=True, slots=True)
class Pairs:
    """The documents that two files have in common, under one filter.

    Attributes:
        filter: The filter.
        pairs: The two samples of each document.
        first_alone, second_alone: How many documents only one file has.
    """

    filter: str
    pairs: tuple[tuple[Sample, Sample], ...]
    first_alone: int
    second_alone: int


def pair_files(
    first: SampleFile, second: SampleFile, by: PairBy = PairBy.DOC_HASH
) -> tuple[list[Pairs], list[str]]:
    """Pair the documents of two files, filter by filter.

    A document that a data set holds several times has one hash; its samples are paired in their
    order. Without hashes documents are paired by their place in the data set, with a note.

    Args:
        first: One file.
        second: The other.
        by: What makes two samples the same document.

    Returns:
        The pairs of each filter that both files have, and notes on what was left out or is odd.

    Raises:
        UsageError: They have no filter, or no document, in common.
    """
    notes: list[str] = []
    if by is PairBy.DOC_HASH and not _have_hashes(first, second):
        by = PairBy.DOC_ID
        notes.append("no document hashes: paired by doc_id, the place in the data set")
    ours, theirs = _by_filter(first.samples), _by_filter(second.samples)
    shared = [name for name in ours if name in theirs]
    alone = [
        f"filter '{name}' is in one file only"
        for name in [*ours, *theirs]
        if (name in ours) != (name in theirs)
    ]
    if not shared:
        raise UsageError(f"{_both(first, second)}: no filter in common; {'; '.join(alone)}")
    found = [_paired(name, ours[name], theirs[name], by) for name in shared]
    if not any(one.pairs for one in found):
        raise UsageError(f"{_both(first, second)}: {_nothing_shared(first, second, by)}")
    return found, [*notes, *alone, *_oddities(found, by)]


def _have_hashes(*files: SampleFile) -> bool:
    return all(sample.doc_hash for file in files for sample in file.samples)


def _by_filter(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[sample.filter].append(sample)
    return dict(found)


def _by_key(samples: Sequence[Sample], by: PairBy) -> dict[object, list[Sample]]:
    found: dict[object, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[sample.doc_hash if by is PairBy.DOC_HASH else sample.doc_id].append(sample)
    return found


def _paired(name: str, ours: Sequence[Sample], theirs: Sequence[Sample], by: PairBy) -> Pairs:
    one, other = _by_key(ours, by), _by_key(theirs, by)
    matched = [
        pair
        for key in dict.fromkeys([*one, *other])
        for pair in zip_longest(one.get(key, ()), other.get(key, ()))
    ]
    return Pairs(
        filter=name,
        pairs=tuple((a, b) for a, b in matched if a is not None and b is not None),
        first_alone=sum(b is None for _, b in matched),
        second_alone=sum(a is None for a, _ in matched),
    )


def _nothing_shared(first: SampleFile, second: SampleFile, by: PairBy) -> str:
    ours, theirs = ({s.doc_id for s in file.samples} for file in (first, second))
    line = "no document in common: they are of other tasks, or of other versions of the data"
    if by is PairBy.DOC_HASH and ours & theirs:
        line += "; --by doc_id pairs documents by their place, whatever they hold"
    return line


def _both(first: SampleFile, second: SampleFile) -> str:
    return f"'{first.path}' and '{second.path}'"


def _oddities(found: Sequence[Pairs], by: PairBy) -> list[str]:
    """Say what was not paired, and where the same documents were asked in other ways."""
    notes = []
    for one in found:
        where = "" if one.filter == "none" else f" (filter '{one.filter}')"
        for count, name in ((one.first_alone, "A"), (one.second_alone, "B")):
            if count:
                documents = "1 document is" if count == 1 else f"{count} documents are"
                notes.append(f"{documents} in {name} only and left out{where}")
        repeated = len(one.pairs) - len({a.doc_hash for a, _ in one.pairs})
        if by is PairBy.DOC_HASH and repeated:
            notes.append(f"{repeated} of {len(one.pairs)} documents repeat another one{where}")
        for field, said in (("prompt_hash", "prompts"), ("target_hash", "targets")):
            hashes = [(getattr(a, field), getattr(b, field)) for a, b in one.pairs]
            differ = sum(a != b for a, b in hashes if a and b)  # older files have none
            if differ:
                notes.append(f"{said} differ in {differ} of {len(one.pairs)} pairs{where}")
    return notes
