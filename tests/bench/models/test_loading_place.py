"""Where a base is loaded to."""

from __future__ import annotations

import pytest
import torch
import transformers

from bench.models.copy_on_write import borrow
from bench.models.loading import load_base


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"device": "cuda:1"}, {"": "cuda:1"}),
        ({"device": "cuda:0", "device_map": "auto"}, "auto"),
        ({"device": "cpu"}, None),
    ],
)
def test_a_base_goes_straight_to_its_gpu(asked, told, tiny_folder, make_tiny, monkeypatch):
    given: list[object] = []
    current: list[object] = []
    monkeypatch.setattr("torch.cuda.set_device", current.append)

    def load(**named):
        given.append(named["device_map"])
        return make_tiny()

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", load)
    load_base(str(tiny_folder), **asked)
    assert given == [told]
    assert current == ([asked["device"]] if isinstance(told, dict) else [])


def test_on_a_cpu_weights_are_copies_in_memory_that_cells_share(tiny_folder):
    base = load_base(str(tiny_folder))
    loan = borrow(base)
    loan.settle()
    assert all(own.data_ptr() == pristine.data_ptr() for pristine, own in loan.pairs)
    if hasattr(torch, "_lazy_clone"):
        assert torch._C._is_cow_tensor(torch._lazy_clone(next(base.model.parameters()).data))
