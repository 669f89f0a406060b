"""Rows at once: fixed on a CPU, by free memory on a GPU, fewer for each of several members."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from bench.inference import batch_size
from bench.inference.batch_size import MOST_ROWS, RESERVE, halved, rows_at_once
from tests.conftest import tiny_llama

GIB = 2**30


@pytest.fixture
def on_gpu(monkeypatch):
    """A two-layer model that says it is on a GPU with some free memory."""

    def make(free, members=1):
        model, device = tiny_llama(), torch.device("cuda:0")
        first = SimpleNamespace(device=device, element_size=lambda: 2)
        model.parameters = lambda: iter([first])
        model.alone = (model,) * members if members > 1 else ()
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 80 * GIB))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 3 * GIB)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 3 * GIB)
        return model

    return make


def test_on_a_cpu_it_is_what_it_always_was():
    assert rows_at_once(tiny_llama()) == 32
    assert rows_at_once(tiny_llama(), on_cpu=64, width=4000, kept=4000) == 64
    with halved():
        assert rows_at_once(tiny_llama()) == 16
        with halved():
            assert rows_at_once(tiny_llama()) == 8
    assert rows_at_once(tiny_llama()) == 32
    with halved(), halved():
        assert rows_at_once(tiny_llama(), on_cpu=2) == 1


def test_a_gpu_takes_hundreds_and_never_more_than_fit(on_gpu):
    assert rows_at_once(on_gpu(70 * GIB)) == MOST_ROWS
    model = on_gpu(RESERVE + GIB)
    few = rows_at_once(model, width=2000, kept=2000)
    assert 1 < few < MOST_ROWS
    logits = few * 2000 * 257 * 4
    assert logits < GIB
    assert rows_at_once(model, width=4000, kept=4000) < few
    assert rows_at_once(on_gpu(RESERVE // 2), width=2000) == 1


def test_members_share_what_fits(on_gpu, monkeypatch):
    assert rows_at_once(on_gpu(70 * GIB, members=4)) == MOST_ROWS // 4
    model = tiny_llama()
    model.alone = (model,) * 4
    assert rows_at_once(model) == 32
    monkeypatch.setattr(batch_size, "LOGITS_ON_CPU", 4 * 257 * 10 * 3)
    assert rows_at_once(model, kept=10) == 3
