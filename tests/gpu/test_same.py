"""Every recipe gives on a GPU what it gives on a CPU, and in bfloat16 what rounding allows."""

from __future__ import annotations

import pytest
import torch

from bench.store.records import PhaseName, Status
from tests.gpu.cells import EVERYWHERE, PAIRS, measured

AGREES = 1e-3
"""How far losses, likelihoods and drift may differ in float32, relatively."""

SPREADS = 4
"""In bfloat16 a device may differ by so many times what two shapes of batches differ by on it."""


@pytest.mark.parametrize(("device", "recipe"), PAIRS)
def test_float32_gives_the_numbers_of_a_cpu(device, recipe, cells_on):
    expected = cells_on("cpu").record(recipe)
    found = cells_on(device).record(recipe) if device != "cpu" else cells_on("cpu").run(recipe)
    assert expected.status is Status.DONE, expected.traceback or expected.reason
    assert found.status is Status.DONE, found.traceback or found.reason
    assert measured(found) == pytest.approx(measured(expected), rel=AGREES, abs=1e-6)
    assert found.notes.get("kept_facts") == expected.notes.get("kept_facts")
    assert found.init_difference == pytest.approx(expected.init_difference, abs=1e-3)
    assert found.curve[-1].loss < found.curve[0].loss, "something is learned"


@pytest.mark.parametrize(("device", "recipe"), PAIRS)
def test_bfloat16_differs_no_more_than_two_shapes_of_batches_do(device, recipe, cells_on):
    kept = {
        tuple(cells_on(name, dtype).attached(recipe)[0].decisions.chosen)
        for name, dtype in ((device, "bfloat16"), ("cpu", "bfloat16"), (device, "float32"))
    }
    if len(kept) > 1:
        pytest.skip("the base answers otherwise where two tokens are nearly tied: other facts")
    whole, halves = (cells_on(device, "bfloat16").losses(recipe, parts) for parts in (1, 2))
    on_cpu = cells_on("cpu", "bfloat16").losses(recipe)
    wide = cells_on(device).losses(recipe)
    assert len(whole) == len(halves) == len(on_cpu) == len(wide)
    spread = max(abs(a - b) for a, b in zip(whole, halves, strict=True))
    tolerance = SPREADS * spread + torch.finfo(torch.bfloat16).eps * max(on_cpu)
    assert whole == pytest.approx(on_cpu, abs=tolerance)
    assert whole == pytest.approx(wide, rel=0.05)


@pytest.mark.parametrize(("device", "recipe"), PAIRS)
def test_every_phase_has_a_time_and_a_memory_that_can_be(device, recipe, cells_on):
    cells = cells_on(device)
    record = cells.record(recipe)
    phases, base = record.phases, cells.context.base(cells.planned(recipe)[1]).model
    assert set(phases) == {*PhaseName} - {PhaseName.EXPLAIN}
    for phase in phases.values():
        assert 0 < phase.seconds < 600
        assert phase.seconds_cold >= 0
        assert phase.peak_bytes >= sum(p.nbytes for p in base.parameters())
        assert phase.peak_bytes < 2 * 2**30 or device == "cpu"
    if device != "cpu":  # of a CPU, the memory of the whole process is told
        trained = 16 * record.parameters  # in float32, with gradients and two moments
        weights = sum(p.nbytes for p in base.parameters())
        assert phases[PhaseName.TRAIN].peak_bytes >= weights + trained
        total = torch.cuda.get_device_properties(device).total_memory
        assert max(phase.peak_bytes for phase in phases.values()) < total


@pytest.mark.parametrize("device", EVERYWHERE)
def test_logits_leave_the_head_in_float32(device, cells_on):
    pytest.importorskip("bench.inference.float32_head")
    cells = cells_on(device, "bfloat16")
    base = cells.context.base(cells.planned("lora")[1])
    for model in (base.model, cells.attached("lora")[0].model, cells.attached("full")[0].model):
        ids = torch.arange(1, 9, device=base.device)[None]
        with torch.no_grad():
            logits = model(input_ids=ids).logits
        assert (logits.dtype, logits.device) == (torch.float32, base.device)
        assert not torch.equal(logits, logits.bfloat16().float()), "not rounded on the way"
