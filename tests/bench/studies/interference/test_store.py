"""Stored trainings: packed into one file they are what they were, and loose ones win."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench.store.records import Status
from bench.studies.interference.plan import TrainingSpec
from bench.studies.interference.store import (
    FactOutcome,
    Said,
    Trained,
    TrainingRecord,
    TrainingStore,
)
from tests.bench.report_cells import make_spec


def training(seed, nll=0.5):
    spec = TrainingSpec(cell=make_spec(seed=seed), max_steps=2, measured_digest="m")
    state = np.array([seed, 0.25], np.float32)
    plain, shown = Said("a", True, None, 0.0, nll), Said("b", False, seed > 1, 0.3, 2.5)
    outcomes = (FactOutcome("f", "a", plain, shown, 3, seed, state),) if seed else ()
    return Trained(TrainingRecord(spec=spec, status=Status.DONE, updates=2), outcomes)


def same(found, wanted):
    assert found is not None
    assert found.record == wanted.record
    assert len(found.outcomes) == len(wanted.outcomes)
    for left, right in zip(found.outcomes, wanted.outcomes, strict=True):
        for name, value in vars(right).items():
            assert np.array_equal(getattr(left, name), value)


@pytest.fixture
def packed(tmp_path):
    store = TrainingStore(tmp_path)
    for seed in range(3):
        store.write(training(seed))
    assert store.pack() == 3
    assert not list(store.folder.glob("*"))
    return tmp_path


def test_packed_trainings_are_read_as_they_were(packed):
    for seed in range(3):
        same(TrainingStore(packed).read(training(seed).record.spec), training(seed))
    assert TrainingStore(packed).read(training(3).record.spec) is None


def test_a_loose_training_wins_and_is_packed_with_the_others(packed):
    store = TrainingStore(packed)
    store.write(training(1, nll=0.1))
    same(store.read(training(1).record.spec), training(1, nll=0.1))
    assert TrainingStore(packed).pack() == 3
    same(TrainingStore(packed).read(training(1).record.spec), training(1, nll=0.1))
    same(TrainingStore(packed).read(training(2).record.spec), training(2))


def test_a_damaged_packed_file_holds_nothing(packed):
    (packed / "trainings.parquet").write_bytes(b"PAR1")
    assert TrainingStore(packed).read(training(1).record.spec) is None


def test_a_training_with_other_columns_is_run_again(tmp_path):
    store, wanted = TrainingStore(tmp_path), training(1)
    store.write(wanted)
    [path] = store.folder.glob("*.parquet")
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["few_shot"]), path)
    assert store.read(wanted.record.spec) is None
