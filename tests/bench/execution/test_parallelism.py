"""How many workers share a machine, and what is told where it is too small."""

from __future__ import annotations

import pytest

from bench.cli import main
from bench.config.options import build_options
from bench.execution import parallelism
from bench.execution.parallelism import limits, place_of, worker_count
from bench.execution.run import run_grid
from bench.models.device import Compute
from bench.models.shape import model_shape
from bench.planning.grid import plan_grid
from bench.planning.memory import need, setup_of
from bench.progress.base import Silent
from bench.store.store import ResultsStore

GIB = 2**30


@pytest.fixture
def options(tiny_folder, facts_file, tmp_path):
    def make(**changes):
        given = {
            "methods": "lora[r=4]",
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "none",
            "device": "cpu",
            "epochs": 1,
            "out": tmp_path / "results",
        }
        return build_options({**given, **changes})

    return make


@pytest.fixture
def gpus(monkeypatch):
    """A machine with GPUs of some memory, where every cell takes this many GiB."""

    def have(count=1, gib=80, each=4.0, cores=64, free=512):
        monkeypatch.setattr(parallelism, "compute_of", lambda _: Compute("cuda:0", "bfloat16"))
        monkeypatch.setattr("torch.cuda.device_count", lambda: count)
        monkeypatch.setattr(parallelism, "card_memory", lambda device: gib * GIB)
        monkeypatch.setattr(parallelism, "free_memory", lambda: free * GIB)
        monkeypatch.setattr(parallelism, "cores", lambda: cores)
        monkeypatch.setattr(parallelism, "largest_need", lambda cells: each and each * GIB)

    return have


def test_one_worker_on_each_gpu_stacks_its_cells(options, gpus, monkeypatch):
    gpus(count=2)
    monkeypatch.setattr(parallelism, "may_stack", lambda cell: cell)
    assert worker_count(options(device="cuda"), [True] * 64) == 2
    alone = worker_count(options(device="cuda"), [False] * 64)
    assert alone == 2 * parallelism.MOST_PER_GPU, "if no cell can be stacked"


def test_without_stacking_workers_share_a_gpu_as_far_as_the_machine_allows(options, gpus):
    asked = options(device="cuda", stack="1")

    def count(cells=64, **machine):
        gpus(**machine)
        return worker_count(asked, [None] * cells)

    assert count() == parallelism.MOST_PER_GPU
    assert count(count=2) == 2 * parallelism.MOST_PER_GPU
    assert count(cells=3) == 3
    assert count(each=30.0) == 2, "memory of the GPU"
    assert count(each=50.0) == 1
    assert count(each=100.0) == 1, "even if it will not fit"
    assert count(each=None) == 1, "nobody can tell"
    assert count(cores=2) == 2
    assert count(count=2, cores=4) == 4
    assert count(free=7) == 2, "memory of the machine"
    gpus(count=4)
    of_one = options(device="cuda:1", stack="1")
    assert worker_count(of_one, [None] * 64) == parallelism.MOST_PER_GPU


def test_workers_share_the_memory_of_their_gpu(options, gpus):
    gpus(count=2, gib=80)
    gpu = Compute("cuda:0", "bfloat16")
    for workers, each in ((1, 80), (2, 80), (3, 40), (4, 40)):
        assert place_of(options(device="cuda"), gpu, workers).each == each * GIB
    assert place_of(options(device="cuda:1"), gpu, 2).each == 40 * GIB
    assert place_of(options(device_map="auto"), gpu, 1).each == 160 * GIB
    assert place_of(options(executor="ray"), gpu, 8) is None, "nobody knows those machines"


def test_what_will_not_fit_is_told_by_plan_and_before_a_run(options, monkeypatch, capsys):
    chosen = options(methods="lora[r=4],full", models="smollm2-135m", seeds="0-4")
    cells = plan_grid(chosen, ResultsStore(chosen.out))
    compute = Compute("cpu", "float32")
    monkeypatch.setattr(parallelism, "free_memory", lambda: 64 * GIB)
    assert not limits(chosen, compute, 2, cells)
    shape = model_shape(cells[0].source)
    if shape is None:
        pytest.skip("the embedded model was not used here yet")
    lora, full = (need(shape, setup_of(cell, shape)).peak for cell in (cells[0], cells[-1]))
    monkeypatch.setattr(parallelism, "free_memory", lambda: int(lora + full) // 2)
    [line] = limits(chosen, compute, 1, cells)
    assert line.startswith("full on smollm2-135m ")
    assert "lora" in line.partition(";")[2]
    assert main(["plan", "--methods", "full", "--device", "cpu", "--out", str(chosen.out)]) == 0
    assert line in capsys.readouterr().out


class Notes(Silent):
    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


def test_the_lines_come_before_a_run_and_it_runs_all_the_same(options, monkeypatch):
    monkeypatch.setattr("bench.execution.run.limits", lambda *given: [f"told of {len(given[3])}"])
    progress = Notes()
    outcome = run_grid(options(), progress)
    assert (outcome.ran, outcome.failed) == (1, 0)
    assert "told of 1" in progress.lines
    progress = Notes()
    run_grid(options(), progress)
    assert not [line for line in progress.lines if line.startswith("told")], "nothing runs"
