"""Which rows an epoch trains: each fact once, in order, with what is replayed spread among them."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.training.rows import epoch_batches, interleaved

COUNTS = st.integers(0, 40)


@given(facts=st.integers(1, 40), others=COUNTS, size=st.integers(1, 9), ordered=st.booleans())
def test_an_epoch_trains_every_fact_once_and_what_is_replayed(facts, others, size, ordered):
    generator = torch.Generator().manual_seed(0)
    order = list(reversed(range(facts))) if ordered else None
    replayed = [facts + index % 3 for index in range(others)]
    lengths = [1 + row % 4 for row in range(facts + others)]
    batches = epoch_batches(order, replayed, lengths, size, generator)
    rows = [row for batch in batches for row in batch]
    assert sorted(rows) == sorted([*range(facts), *replayed])
    assert len(batches) == -(-(facts + others) // size)
    if ordered:
        assert [row for row in rows if row < facts] == order


@given(facts=COUNTS, others=COUNTS)
def test_every_beginning_of_an_epoch_has_its_share_of_what_is_replayed(facts, others):
    rows = interleaved(range(facts), range(100, 100 + others))
    for end in range(1, len(rows) + 1):
        found = sum(row >= 100 for row in rows[:end])
        assert abs(found - end * others / (facts + others)) < 1
    assert [row for row in rows if row < 100] == list(range(facts))
    assert [row for row in rows if row >= 100] == list(range(100, 100 + others))
