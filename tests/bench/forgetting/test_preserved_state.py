"""What measuring leaves behind: nothing."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import torch

from bench.forgetting.preserved_state import undisturbed


def test_measuring_leaves_random_states_and_modes_alone(make_tiny):
    model = make_tiny().train()
    model.model.norm.eval()
    states = random.getstate(), torch.get_rng_state()
    expected = np.random.get_state()[1].tolist()
    with undisturbed(model):
        assert not model.training
        assert not torch.is_grad_enabled()
        torch.manual_seed(1)
        random.random(), np.random.rand()
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    assert np.random.get_state()[1].tolist() == expected
    assert model.training
    assert not model.model.norm.training


class _Divided(torch.nn.Module):
    """A model with its parts on these devices."""

    def __init__(self, *devices):
        super().__init__()
        self.devices = devices

    def parameters(self, recurse=True):
        return (SimpleNamespace(device=torch.device(device)) for device in self.devices)


def test_the_states_of_the_models_own_gpus_are_kept_and_no_others(monkeypatch):
    kept, restored = [], []
    monkeypatch.setattr("torch.cuda.get_rng_state", lambda device: kept.append(device) or device)
    monkeypatch.setattr("torch.cuda.set_rng_state", lambda state, _: restored.append(state))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    for devices in (("cpu",), ("cuda:3", "cuda:3"), ("cuda:1", "cuda:2", "cpu")):
        kept.clear(), restored.clear()
        with undisturbed(_Divided(*devices)):
            pass
        gpus = {torch.device(device) for device in devices if device != "cpu"}
        assert set(kept) == set(restored) == gpus
        assert len(kept) == len(gpus)
