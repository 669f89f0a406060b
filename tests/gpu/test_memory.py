"""Memory on a device: running out of it in any phase, and how much attaching and methods take."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from functools import cache

import pytest
import torch

from bench.cell.phases import PhaseClock
from bench.models.shape import model_shape
from bench.planning.memory import OVERHEAD, need, setup_of
from bench.store.records import PhaseName, Status
from tests.gpu.cells import EVERYWHERE, GPU, NEEDS_GPU, Device, make_model, measured

NO_MACHINE_HAS = 2**46
"""Bytes that no device can give."""

ATTACHING = 0.1 * 2**30
"""Bytes that attaching low-rank adapters may take, whatever the size of the base."""

LARGER = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
}


@pytest.fixture(scope="session")
def larger(tmp_path_factory):
    """A model of 64 million weights, the base of cells in bfloat16."""
    return make_model(tmp_path_factory.mktemp("gpu") / "larger", "bfloat16", **LARGER)


@pytest.fixture(scope="session")
def larger_on(larger, tmp_path_factory):
    """Return cells of the larger model on a device."""

    @cache
    def on(device):
        return Device(larger, device, "bfloat16", tmp_path_factory.mktemp("out"))

    return on


@pytest.mark.parametrize("device", EVERYWHERE)
@pytest.mark.parametrize("phase", [name for name in PhaseName if name is not PhaseName.EXPLAIN])
def test_a_cell_survives_running_out_of_memory_once(phase, device, cells_on, monkeypatch):
    cells, plain, failures = cells_on(device), PhaseClock.phase, []

    @contextmanager
    def short(clock, name):
        with plain(clock, name):
            if name is phase and not failures:
                failures.append(name)
                torch.empty(NO_MACHINE_HAS, dtype=torch.uint8, device=device)
            yield

    expected = cells.record("lora")
    monkeypatch.setattr(PhaseClock, "phase", short)
    found = cells.run("lora")
    assert failures == [phase]
    assert found.status is Status.DONE, found.reason
    assert measured(found) == pytest.approx(measured(expected), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("device", EVERYWHERE)
def test_a_cell_that_never_fits_says_so_and_the_next_one_runs(device, cells_on, monkeypatch):
    cells, plain = cells_on(device), PhaseClock.phase

    @contextmanager
    def short(clock, name):
        with plain(clock, name):
            if name is PhaseName.TRAIN:
                torch.empty(NO_MACHINE_HAS, dtype=torch.uint8, device=device)
            yield

    with monkeypatch.context() as patch:
        patch.setattr(PhaseClock, "phase", short)
        found = cells.run("dora")
    assert found.status is Status.OUT_OF_MEMORY
    assert "memory" in found.reason
    assert cells.run("lora").status is Status.DONE


@pytest.mark.parametrize(
    ("device", "recipe"),
    [("cpu", "dora")]
    + [pytest.param(GPU, r, marks=NEEDS_GPU) for r in ("lora", "dora", "pissa", "corda[mode=ipm]")],
)
def test_attaching_copies_nothing_of_the_bases_size(device, recipe, larger_on, cells_on):
    if recipe not in ("lora", "dora"):
        pytest.importorskip("methods.difference")
    cells, before = cells_on(device, "bfloat16") if device == "cpu" else larger_on(device), 0
    base = cells.context.base(cells.planned("lora")[1]).model
    if device != "cpu":
        cells.attached("lora")  # whatever is made once is made now
        _emptied()
        before = torch.cuda.memory_allocated(device)
    made, _ = cells.attached(recipe)
    theirs = {p.untyped_storage().data_ptr() for p in base.parameters()}
    held = {p.untyped_storage().data_ptr(): p.untyped_storage() for p in made.model.parameters()}
    own = [storage.nbytes() for at, storage in held.items() if at not in theirs]
    assert sum(own) == sum(p.nbytes for p in made.model.parameters() if p.requires_grad) > 0
    if device != "cpu":
        _emptied()
        assert torch.cuda.memory_allocated(device) - before < ATTACHING


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_memory_does_not_depend_on_the_cells_before(larger_on):
    """Covariances of one cell would count in the peaks of all later ones."""
    cells = larger_on(GPU)
    first = cells.run("lora").phases
    assert cells.run("corda[mode=ipm]").status is Status.DONE
    again = cells.run("lora").phases
    for name, phase in first.items():
        assert again[name].peak_bytes < phase.peak_bytes + 16 * 2**20, name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("recipe", ["lora", "full"])
def test_training_takes_what_the_formula_says(recipe, larger_on):
    cells = larger_on(GPU)
    _, cell = cells.planned(recipe)
    shape = model_shape(cell.source)
    record = cells.run(recipe)
    assert record.status is Status.DONE, record.reason
    told = need(shape, setup_of(cell, shape)).train - OVERHEAD
    assert 0.5 < record.phases[PhaseName.TRAIN].peak_bytes / told < 1.5


def _emptied():
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
