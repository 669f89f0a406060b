"""Moments between steps, on a CPU and from the events of a GPU."""

from __future__ import annotations

import torch

from bench.pages.performance import clock
from bench.pages.performance.clock import Stamps


def test_the_gap_is_the_median_of_what_lies_between_moments(monkeypatch):
    moments = iter([0.0, 1.0, 4.0, 6.0])
    monkeypatch.setattr(clock.time, "perf_counter", lambda: next(moments))
    stamps = Stamps("cpu")
    for step in range(4):
        stamps.stamp(step, 0.5)
    assert stamps.gap() == 2.0


def test_on_a_gpu_events_are_read_once_the_last_is_done(monkeypatch):
    class Event:
        """An event whose times are in milliseconds, as CUDA's are."""

        times = iter([0.0, 1000.0, 4000.0, 6000.0])
        waited = 0

        def __init__(self, *, enable_timing):
            assert enable_timing

        def record(self, stream):
            assert stream == "stream of cuda:1"
            self.at = next(self.times)

        def synchronize(self):
            type(self).waited += 1
            assert self.at == 6000.0

        def elapsed_time(self, later):
            assert self.waited == 1
            return later.at - self.at

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    stamps = Stamps("cuda:1")
    for _ in range(4):
        stamps.stamp()
    assert Event.waited == 0, "nothing waits for the GPU while it works"
    assert stamps.gap() == 2.0
