"""Which device and dtype a run computes with."""

from __future__ import annotations

import psutil
import pytest

from bench.config.options import build_options
from bench.execution.local_backend import LocalBackend
from bench.models.device import Compute, choose_compute, dtype_notes, free_now
from tasks.errors import UsageError


@pytest.fixture
def gpus(monkeypatch):
    """A machine with these GPUs, by their compute capability."""

    def have(*capabilities):
        monkeypatch.setattr("bench.models.device._may_have_cuda", lambda: True)
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setattr("torch.cuda.device_count", lambda: len(capabilities))
        monkeypatch.setattr(
            "torch.cuda.get_device_capability",
            lambda device: capabilities[int(device.partition(":")[2])],
        )

    return have


def test_a_gpu_computes_in_bfloat16_only_if_it_has_units_for_it(gpus):
    turing, ampere = (7, 5), (8, 0)
    gpus(turing, ampere)
    assert choose_compute("auto", "auto") == Compute("cuda:0", "float32")
    assert choose_compute("cuda:1", "auto") == Compute("cuda:1", "bfloat16")
    assert choose_compute("cuda:0", "bfloat16").dtype == "bfloat16", "who asks for it gets it"
    assert choose_compute("cpu", "auto") == Compute("cpu", "float32")


def test_that_float32_was_chosen_on_a_gpu_is_told(gpus):
    gpus((7, 5))
    auto, asked = build_options({}), build_options({"dtype": "float32"})
    [note] = dtype_notes(auto, choose_compute("auto", "auto"))
    assert "cuda:0" in note
    assert "float32" in note
    assert not dtype_notes(asked, Compute("cuda:0", "float32"))
    assert not dtype_notes(auto, Compute("cuda:0", "bfloat16"))
    assert not dtype_notes(auto, Compute("cpu", "float32"))


def test_what_a_process_holds_unused_is_free_to_it(monkeypatch):
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (10, 80))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda device: 30)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda device: 25)
    assert free_now("cuda:1") == 15
    assert 0 < free_now("cpu") <= psutil.virtual_memory().total


def test_nothing_is_trained_in_float16():
    for device in ("cpu", "auto"):
        with pytest.raises(
            UsageError, match=r"--dtype float16: .* use --dtype bfloat16 or float32"
        ):
            choose_compute(device, "float16")


def test_a_machine_elsewhere_is_taken_to_have_bfloat16(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_compute("cuda", "auto", elsewhere=True) == Compute("cuda:0", "bfloat16")


def test_workers_compute_in_the_dtype_of_the_plan(gpus):
    gpus((8, 0), (7, 5))
    options = build_options({})
    compute = choose_compute(options.device, options.dtype)
    backend = LocalBackend(options, compute, 2, [])
    told = [build_options(backend.options(number)) for number in (1, 2)]
    found = [choose_compute(each.device, each.dtype) for each in told]
    assert found == [Compute("cuda:0", "bfloat16"), Compute("cuda:1", "bfloat16")]
