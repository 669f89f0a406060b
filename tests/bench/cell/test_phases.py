"""What a phase costs, and what it would have cost without a cache."""

from __future__ import annotations

import time

import pytest
import torch

from bench.cell.phases import PhaseClock
from bench.store.cost_cache import CostCache
from bench.store.records import PhaseName


def test_a_cached_value_is_charged_once_to_each_cell(monkeypatch):
    seconds = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: seconds)

    def slow():
        nonlocal seconds
        seconds += 0.25
        return "value"

    cache = CostCache()
    colds = []
    for _ in range(3):
        cache.start_cell()
        clock = PhaseClock([torch.device("cpu")], cache)
        with clock.phase(PhaseName.EVALUATE):
            assert cache.get("key", slow) == "value"
            assert cache.get("key", slow) == "value"
        phase = clock.phases[PhaseName.EVALUATE]
        colds.append(phase.seconds_cold)
    assert phase.seconds == 0
    assert colds == [0.25] * 3


def test_work_that_a_gpu_has_not_done_yet_belongs_to_the_phase_that_gave_it(monkeypatch):
    seconds, queued = 10.0, 0.0

    def synchronize(device):
        nonlocal seconds, queued
        seconds, queued = seconds + queued, 0.0

    monkeypatch.setattr(time, "perf_counter", lambda: seconds)
    monkeypatch.setattr("torch.cuda.synchronize", synchronize)
    monkeypatch.setattr("torch.cuda.reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda device: 1)
    clock = PhaseClock([torch.device("cuda:0")], CostCache())
    queued = 64.0  # of nobody's phase
    with clock.phase(PhaseName.TRAIN):
        queued += 1.0
        with clock.phase(PhaseName.FORGET):
            queued += 2.0
        queued += 4.0
    found = {name: phase.seconds for name, phase in clock.phases.items()}
    assert found == {PhaseName.FORGET: 2.0, PhaseName.TRAIN: 5.0}


def test_the_peak_of_a_phase_is_its_own():
    clock = PhaseClock([torch.device("cpu")], CostCache())
    with clock.phase(PhaseName.TRAIN):
        block = torch.ones(64 * 2**20)  # 256 MiB
        del block
    with clock.phase(PhaseName.EVALUATE):
        pass
    train, evaluate = clock.phases[PhaseName.TRAIN], clock.phases[PhaseName.EVALUATE]
    assert train.peak_bytes - evaluate.peak_bytes > 200 * 2**20


def test_a_phase_that_raises_is_still_measured():
    clock = PhaseClock([torch.device("cpu")], CostCache())
    with pytest.raises(KeyError), clock.phase(PhaseName.TRAIN):
        raise KeyError("x")
    assert PhaseName.TRAIN in clock.phases


def test_a_phase_within_another_takes_its_own_time_out_of_it(monkeypatch):
    seconds = 10.0
    monkeypatch.setattr(time, "perf_counter", lambda: seconds)
    cache = CostCache()
    cache.start_cell()
    clock = PhaseClock([torch.device("cpu")], cache)
    with clock.phase(PhaseName.TRAIN):
        for _ in range(3):
            seconds += 2
            with clock.phase(PhaseName.FORGET):
                seconds += 5
                cache.saved += 1
    with clock.phase(PhaseName.FORGET):
        seconds += 7
    train, forget = clock.phases[PhaseName.TRAIN], clock.phases[PhaseName.FORGET]
    assert (train.seconds, train.seconds_cold) == (6, 6)
    assert (forget.seconds, forget.seconds_cold) == (22, 25)


def test_the_peak_of_a_phase_is_not_that_of_one_within_it():
    clock = PhaseClock([torch.device("cpu")], CostCache())
    with clock.phase(PhaseName.TRAIN), clock.phase(PhaseName.FORGET):
        block = torch.ones(64 * 2**20)  # 256 MiB
        del block
    train, forget = clock.phases[PhaseName.TRAIN], clock.phases[PhaseName.FORGET]
    assert forget.peak_bytes - train.peak_bytes > 200 * 2**20
