"""Every cell is in one pair or alone; what was chosen pairs cells, and versions are told."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.changes.pairs import VERSIONS, chosen_key, matched
from bench.store.records import After, CellRecord, CellSpec, Rescored, Status, Tuned
from tests.bench.report_cells import cell_id_of, make_spec

OTHER = {
    "model": "other",
    "model_revision": "wheel-0.2",
    "dtype": "bfloat16",
    "quantisation": "4bit",
    "task": "other",
    "facts_digest": "0" * 64,
    "facts": 32,
    "lessons_digest": "1" * 64,
    "lessons": 99,
    "prompt_digest": "2" * 64,
    "calibration_digest": "3" * 64,
    "replay_digest": "4" * 64,
    "method": "dora",
    "recipe": "lora[r=64]",
    "source_digest": "5" * 64,
    "train_prompt": "chat",
    "learning_rate": 3e-4,
    "epochs": 3,
    "batch_size": 2,
    "accumulation": 4,
    "schedule": "constant",
    "warmup": 0.0,
    "optimizer": "sgd",
    "seed": 7,
    "evaluation": 9,
    "tuned": Tuned(
        fact_set="reporting", method="lora", other_digest="6" * 64, other_facts=8, over=("lr",)
    ),
    "after": After(
        cell="7" * 16, mode="frozen", task="x", method="lora", setting="8" * 16, version=1
    ),
    "rescored": Rescored(scoring="contains"),
}
"""Another value of each part of an identity."""


def record(**spec):
    identity = make_spec(**spec)
    return CellRecord(cell_id=cell_id_of(identity), spec=identity, status=Status.FAILED)


def test_every_part_of_an_identity_is_known_here():
    assert {*OTHER} == {*CellSpec.model_fields} - {"schema_version"}


@pytest.mark.parametrize("field", OTHER)
def test_a_version_pairs_and_is_told_and_a_choice_does_not_pair(field):
    """A recipe is derived from a method: another method has another one as well."""
    a, b = record(), record(**{"recipe": "lora[r=16]", field: OTHER[field]})
    found = matched([a], [b])
    if field in VERSIONS and field not in ("tuned", "after"):
        [pair] = found.pairs
        assert pair.differs == (field,)
        assert not found.only_a
        assert not found.only_b
    else:
        assert not found.pairs
        assert [cell.record for cell in found.only_a] == [a]
        assert [cell.record for cell in found.only_b] == [b]


def test_a_cell_alone_says_what_its_nearest_one_has_else():
    a = record(learning_rate=1e-3)
    found = matched([a], [record(learning_rate=1e-4), record(learning_rate=1e-4, epochs=2)])
    assert found.only_a[0].differs == ("lr",)
    assert {cell.differs for cell in found.only_b} == {("lr",), ("lr", "epochs")}
    [alone] = matched([record()], [record(), record(source_digest="9" * 64)]).only_b
    assert alone.differs == ("source_digest",), "its twin is taken"
    [other] = matched([], [record()]).only_b
    assert other.near is None


def test_cells_of_one_id_go_together_and_of_the_rest_the_most_alike():
    old, new = record(), record(source_digest="9" * 64)
    newest = record(source_digest="9" * 64, evaluation=9)
    found = matched([old, new], [old, newest])
    ids = {(pair.a.cell_id, pair.b.cell_id) for pair in found.pairs}
    assert ids == {(old.cell_id, old.cell_id), (new.cell_id, newest.cell_id)}


SPECS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["lora", "dora"]),
        "seed": st.integers(0, 2),
        "source_digest": st.sampled_from(["a" * 64, "b" * 64, "c" * 64]),
        "evaluation": st.integers(1, 2),
    }
)


@given(st.lists(SPECS, max_size=12), st.lists(SPECS, max_size=12), st.randoms())
def test_each_cell_is_in_one_place_and_the_order_of_folders_does_not_matter(a, b, shuffle):
    a, b = (
        [*{r.cell_id: r for r in (record(**spec) for spec in side)}.values()] for side in (a, b)
    )
    found = matched(a, b)
    for records, paired, alone in (
        (a, [pair.a for pair in found.pairs], found.only_a),
        (b, [pair.b for pair in found.pairs], found.only_b),
    ):
        places = [cell.cell_id for cell in (*paired, *(cell.record for cell in alone))]
        assert sorted(places) == sorted(cell.cell_id for cell in records)
    assert all(chosen_key(pair.a.spec) == chosen_key(pair.b.spec) for pair in found.pairs)
    left = [
        {chosen_key(cell.record.spec) for cell in side} for side in (found.only_a, found.only_b)
    ]
    assert not left[0] & left[1], "nothing is left that could be paired"
    swapped = matched(random_order(b, shuffle), random_order(a, shuffle))
    one, other = ({(p.a.cell_id, p.b.cell_id) for p in side.pairs} for side in (found, swapped))
    assert one == {(b, a) for a, b in other}


def random_order(cells, shuffle: random.Random):
    cells = [*cells]
    shuffle.shuffle(cells)
    return cells
