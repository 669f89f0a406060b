"""What cells share: computed once, in a process and among several, and charged to each cell."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from bench.evaluation.consequences import Followed
from bench.evaluation.responses import Responses
from bench.forgetting.scores import ItemScores
from bench.models.device import Compute
from bench.optimizations import Optimization, without
from bench.store.base_cache import Kept, KeptValues, measured_with
from bench.store.cost_cache import CostCache, Shared
from bench.store.knowledge import KnowledgeCategory
from tasks.context import Context

SLOW = 0.25
"""Seconds by the clock of these tests, which passes while something is computed and only then."""


class Clock:
    """Passes when told, and knows which threads have read it."""

    def __init__(self):
        self.seconds, self.readers = 100.0, set()

    def __call__(self):
        self.readers.add(threading.current_thread())
        return self.seconds

    def wait_for(self, threads):
        """Wait until each of these threads has begun to look for its value."""
        deadline = time.monotonic() + 600
        while not self.readers.issuperset(threads):
            assert time.monotonic() < deadline
            time.sleep(0.001)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    passing = Clock()
    monkeypatch.setattr(time, "perf_counter", passing)
    return passing


def slow():
    time.perf_counter.seconds += SLOW
    return 1


class Counted:
    """Computes slowly, and counts how often."""

    def __init__(self, value="value", fails=False):
        self.calls, self._value, self._fails = 0, value, fails

    def __call__(self):
        self.calls += 1
        slow()
        if self._fails:
            raise RuntimeError("no value")
        return self._value


@pytest.fixture
def kept(tmp_path):
    return lambda **setting: KeptValues(tmp_path, lambda: {"threads": 2, **setting})


def wanted(compute, *of):
    return Shared(("answers", *of), compute, str)


def test_a_value_made_of_cached_values_costs_all_of_them():
    cache = CostCache()
    cache.get("inner", slow)
    cache.start_cell()
    cache.get("outer", lambda: cache.get("inner", slow) + slow())
    cache.start_cell()
    cache.get("outer", slow)
    assert cache.saved == 2 * SLOW


@pytest.mark.parametrize("order", [("outer", "inner"), ("inner", "outer")])
def test_what_a_value_is_made_of_is_charged_once(order):
    cache = CostCache()
    cache.get("outer", lambda: cache.get("inner", slow) + slow())
    cache.start_cell()
    for key in order:
        cache.get(key, slow)
    assert cache.saved == 2 * SLOW


def test_another_process_reads_what_one_has_computed_and_is_charged_for_it(kept):
    compute = Counted("Île-de-France\n")
    CostCache(kept()).get_shared(wanted(compute))
    second = CostCache(kept())
    started = time.perf_counter()
    assert second.get_shared(wanted(compute)) == "Île-de-France\n"
    assert time.perf_counter() == started
    assert compute.calls == 1
    assert second.saved == SLOW
    second.get_shared(wanted(compute))
    assert second.saved == SLOW, "once"


def test_a_value_of_something_else_or_in_another_setting_is_another(kept):
    compute = Counted()
    CostCache(kept()).get_shared(wanted(compute, "countries"))
    CostCache(kept()).get_shared(wanted(compute, "elements"))
    CostCache(kept(threads=1)).get_shared(wanted(compute, "countries"))
    assert compute.calls == 3


def test_a_damaged_value_is_computed_again(kept, tmp_path):
    compute = Counted()
    CostCache(kept()).get_shared(wanted(compute))
    [path] = (tmp_path / "base").glob("*.json")
    for damage in (path.read_bytes()[:-4], b"", b"[]", b'{"value": 3, "seconds": 1}'):
        path.write_bytes(damage)
        assert CostCache(kept()).get_shared(wanted(compute)) == "value"
    assert compute.calls == 5
    assert not list((tmp_path / "base").glob("*.tmp"))


def test_processes_that_need_a_value_together_compute_it_once(kept, clock):
    counted, found, threads = Counted(), [], []

    def compute():
        clock.wait_for(threads)
        return counted()

    caches = [CostCache(kept()) for _ in range(3)]
    threads += [
        threading.Thread(target=lambda c=cache: found.append(c.get_shared(wanted(compute))))
        for cache in caches
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (counted.calls, found) == (1, ["value"] * 3)


def test_waiting_for_another_process_is_no_part_of_the_cost(kept, clock):
    cache = CostCache(kept())
    with kept().lock(("answers",)):
        waiting = threading.Thread(target=lambda: cache.get_shared(wanted(Counted())))
        waiting.start()
        clock.wait_for([waiting])
        clock.seconds += 3 * SLOW
        kept().write(("answers",), str, Kept("value", SLOW))
    waiting.join()
    assert 3 * SLOW + cache.saved == SLOW


def test_preparing_leaves_to_another_process_what_it_is_at(kept):
    compute, cache = Counted(), CostCache(kept())
    with kept().lock(("answers",)):
        cache.prepare(wanted(compute))
    assert compute.calls == 0
    cache.prepare(wanted(compute))
    cache.prepare(wanted(compute))
    assert (compute.calls, cache.saved) == (1, 0)
    assert cache.get_shared(wanted(compute)) == "value"
    assert cache.saved == SLOW, "charged where it is used"
    CostCache(kept()).prepare(wanted(compute))
    assert compute.calls == 1


def test_what_a_prepared_value_is_made_of_is_charged_where_it_is_used():
    cache = CostCache()
    cache.prepare(wanted(lambda: str(cache.get("inner", slow) + slow())))
    assert cache.saved == 0
    cache.get("inner", slow)
    assert cache.saved == SLOW


def test_a_value_that_fails_fails_for_its_cell_alone(kept):
    failing, compute, cache = Counted(fails=True), Counted(), CostCache(kept())
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no value"):
            cache.get_shared(wanted(failing))
    with pytest.raises(RuntimeError, match="no value"):
        cache.prepare(wanted(failing))
    assert cache.get_shared(wanted(compute)) == "value"


def test_without_the_shortcut_each_process_computes(kept, tmp_path):
    compute = Counted()
    with without(Optimization.KEPT_BASE):
        for _ in range(2):
            cache = CostCache(kept())
            cache.prepare(wanted(compute))
            cache.get_shared(wanted(compute))
    assert compute.calls == 2
    assert not (tmp_path / "base").exists()


class Queue:
    """A GPU that takes work at once and does it while somebody waits."""

    def __init__(self, clock):
        self._clock, self._waiting = clock, 0.0

    def give(self, seconds):
        self._waiting += seconds
        return 1

    def synchronize(self):
        self._clock.seconds += self._waiting
        self._waiting = 0.0


@pytest.fixture
def gpu(clock, monkeypatch):
    queue = Queue(clock)
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.synchronize", queue.synchronize)
    return queue


def test_work_that_a_gpu_has_not_done_yet_is_charged_to_who_gave_it(gpu, kept):
    cache = CostCache(kept())
    gpu.give(64.0)  # by the cell, before it needs the value
    cache.get_shared(wanted(lambda: str(gpu.give(2.0))))
    gpu.give(64.0)
    cache.start_cell()
    assert cache.get_shared(wanted(lambda: "")) == "1"
    assert cache.saved == 2.0
    assert kept().read(("answers",), str).seconds == 2.0


def test_a_value_made_of_others_is_charged_its_own_work_on_a_gpu(gpu):
    def outer():
        gpu.give(1.0)
        found = cache.get("inner", lambda: gpu.give(2.0)) + gpu.give(4.0)
        return found + cache.get("inner", lambda: 0) + gpu.give(8.0)

    cache = CostCache()
    cache.get("outer", outer)
    cache.start_cell()
    cache.get("inner", lambda: 0)
    assert cache.saved == 2.0
    cache.get("outer", lambda: 0)
    assert cache.saved == 15.0


RESPONSES = Responses(
    asked=Context.PLAIN,
    answers={Context.FEW_SHOT: ("Paris", ""), Context.PLAIN: ("", "no")},
    paraphrases=((True, False), ()),
    neighbours=((), (True,)),
    nll=(0.1 + 0.2, 1e-300),
    old_nll=(None, 2.5),
    consequences=((Followed(right=True, hops=None), None, Followed(right=False, hops=True)), ()),
)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (RESPONSES, Responses),
        ((KnowledgeCategory.KNOWN, KnowledgeCategory.UNKNOWN), tuple[KnowledgeCategory, ...]),
        (ItemScores("elements", "acc", (1.0, 1 / 3), 0.25, "digest"), ItemScores),
        (replace(RESPONSES, nll=(float("inf"), 0.0)), Responses),
        (replace(RESPONSES, consequences=()), Responses),
    ],
)
def test_what_is_measured_of_a_base_comes_back_bit_for_bit(kept, value, kind):
    first = CostCache(kept()).get_shared(Shared(("value",), lambda: value, kind))
    again = CostCache(kept()).get_shared(Shared(("value",), lambda: value, kind))
    assert first is value
    assert again == value
    assert type(again) is type(value)


def test_a_setting_names_the_program_its_libraries_device_and_threads():
    setting = measured_with(Compute("cpu", "float32"))
    assert {"program", "packages", "device_name", "dtype", "threads"} <= setting.keys()
    assert setting["packages"]["torch"]
    assert len(setting["program"]) == 16
