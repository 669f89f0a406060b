"""Which operations take the time: what bounds an entry that did not reach what was asked."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

LONGEST = 6
"""Operations that are named."""


def watching() -> profile:
    """Return a profiler of this thread's operations, to be started and stopped."""
    return profile(activities=[ProfilerActivity.CPU])


def shares(seen: profile) -> str:
    """Name the operations that took longest by themselves, each with its share of all."""
    spent = {event.key: float(event.self_cpu_time_total) for event in seen.key_averages()}
    longest = sorted(spent, key=lambda key: spent[key], reverse=True)[:LONGEST]
    return ", ".join(f"{key} {spent[key] / sum(spent.values()):.0%}" for key in longest)


def shares_on_one_core(run: Callable[[], object]) -> str:
    """Run something on one core, where every operation is this thread's, and name the longest."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with watching() as seen:
            run()
    finally:
        torch.set_num_threads(threads)
    return shares(seen)
