"""Trainings of any study: stored, packed by the script, and how an error ends one."""

from __future__ import annotations

import pytest

from bench.store.records import Status
from bench.studies.order.plan import OrderSpec
from bench.studies.order.store import FactOutcome, OrderRecord, OrderStore, Trained
from bench.studies.sequence import store as sequence
from bench.studies.sequence.plan import SequenceSpec
from bench.studies.trainings import NotFiniteError, ending
from bench.training.loop import DivergenceError
from scripts.pack_results import pack
from tasks.errors import UsageError
from tests.bench.report_cells import make_spec

ANSWERS = {"fact_id": "f", "right": True, "few_shot": False, "generality": 0.5, "locality": None,
           "nll": 0.25}  # fmt: skip


def order_training(seed):
    spec = OrderSpec(
        cell=make_spec(seed=seed), depth_first=True, until_learned=seed > 0, kept_optimizer=False
    )
    outcome = FactOutcome(**ANSWERS, place=seed, exposures=2, taught=True, right_then=True,
                          known=False)  # fmt: skip
    record = OrderRecord(spec=spec, status=Status.DONE, updates=2, drift=[0.5, seed])
    return Trained(record, (outcome,) * seed)


def test_trainings_are_packed_by_the_name_of_their_study_and_read_as_they_were(tmp_path):
    order = [order_training(seed) for seed in range(3)]
    spec = SequenceSpec(cell=make_spec(), parts=2)
    record = sequence.SequenceRecord(spec=spec, status=Status.DONE, drift=[[0.5], [1.0]])
    outcomes = tuple(sequence.StageOutcome(**ANSWERS, stage=n, part=1) for n in range(3))
    stores = {
        OrderStore: order,
        sequence.SequenceStore: [sequence.Trained(record, outcomes)],
    }
    for (store, trained), name in zip(stores.items(), ("order", "sequence"), strict=True):
        for one in trained:
            store(tmp_path / name).write(one)
        assert pack(tmp_path / name) == len(trained)
        assert not list((tmp_path / name / "trainings").iterdir())
        for one in trained:
            assert store(tmp_path / name).read(one.record.spec) == one


def test_trainings_of_no_known_study_are_left_alone(tmp_path):
    OrderStore(tmp_path / "mine").write(order_training(1))
    with pytest.raises(SystemExit, match="trainings are of a study: interference, order"):
        pack(tmp_path / "mine")
    assert OrderStore(tmp_path / "mine").read(order_training(1).record.spec) == order_training(1)


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (DivergenceError(3, 1e9), Status.DIVERGED, "loss 1e+09 at step 3"),
        (NotFiniteError("no numbers"), Status.DIVERGED, "no numbers"),
        (UsageError("write lora"), Status.FAILED, "write lora"),
        (MemoryError("4 bytes"), Status.OUT_OF_MEMORY, "MemoryError: 4 bytes"),
        (ValueError("one\ntwo"), Status.FAILED, "ValueError: one"),
    ],
)
def test_how_an_error_ends_a_training(error, status, reason):
    assert ending(error) == (status, reason)
