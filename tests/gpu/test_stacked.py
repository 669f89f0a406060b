"""Cells trained together on a device learn what they learn alone there."""

from __future__ import annotations

import pytest
import torch

from tests.gpu.cells import EVERYWHERE

RECIPES = ("lora", "dora", "rslora[r=8]", "pissa", "olora", "corda[mode=ipm]", "lora+freeze")


@pytest.mark.parametrize("device", EVERYWHERE)
def test_cells_trained_together_have_the_losses_of_each_alone(device, cells_on):
    pytest.importorskip("bench.stacking.train")
    from bench.stacking.model import stack_models
    from bench.stacking.train import train_together

    cells = cells_on(device)
    alone = [cells.losses(recipe) for recipe in RECIPES]
    made = [cells.attached(recipe) for recipe in RECIPES]
    base = cells.context.base(made[0][1])
    stack = stack_models(base.model, [attached.model for attached, _ in made])
    assert stack.members == len(RECIPES)
    torch.manual_seed(0)
    logs = train_together(stack, [attached.plan for attached, _ in made], lambda *_: None)
    for recipe, log, expected in zip(RECIPES, logs, alone, strict=True):
        per_epoch = len(expected) // 4
        assert log.losses[:per_epoch] == pytest.approx(expected[:per_epoch], rel=1e-5), recipe
        assert log.losses == pytest.approx(expected, rel=1e-4, abs=1e-6), recipe
