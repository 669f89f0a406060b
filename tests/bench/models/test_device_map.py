"""Models divided over devices: the same cells as on one; what cannot be is refused in one line.

There are no two GPUs in most machines: here accelerate's hooks are put on a map of the CPU alone,
which shows that they survive lending, adapters and shortcuts. The last test needs two GPUs.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from accelerate import dispatch_model

from bench import cli
from bench.cell.context import CellContext
from bench.config.options import build_options
from bench.execution.checks import check_device_map
from bench.execution.parallelism import worker_count
from bench.execution.run import run_grid
from bench.models.copy_on_write import borrow
from bench.models.device import Compute
from bench.models.device_map import check_placed, is_divided
from bench.models.loading import load_base
from bench.planning.grid import plan_grid
from bench.progress.base import Silent
from bench.runner import run_cell
from bench.store.records import Status
from bench.store.store import ResultsStore
from tasks.errors import UsageError

HALVES = {"model.embed_tokens": 0, "model.layers.0": 0, "model.layers.1": 1, "model.norm": 1}
HALVES |= {"model.rotary_emb": 1, "lm_head": 0}


def divided(base):
    """Put accelerate's hooks on a base: its layers are apart, all on the CPU."""
    placed = dict.fromkeys(HALVES, "cpu")
    dispatch_model(base.model, device_map=placed, main_device="cpu", force_hooks=True)
    assert base.model.hf_device_map == placed
    return base


@pytest.fixture
def grid(tiny_folder, facts_file, tmp_path):
    def make(recipe, **changes):
        given = {
            "methods": recipe,
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "fictional[n=40,seed=1],drift",
            "forgetting_limit": 4,
            "epochs": 2,
            "batch_size": 4,
            "out": tmp_path,
        }
        return build_options({**given, **changes})

    return make


@pytest.fixture
def run(grid, tiny_folder):
    """Run one cell on a whole and on a divided base."""

    def both(recipe):
        options = grid(recipe, device="cpu")
        [cell] = plan_grid(options, ResultsStore(options.out))
        found = []
        for base in (load_base(str(tiny_folder)), divided(load_base(str(tiny_folder)))):
            context = CellContext(options, Compute("cpu", "float32"), lambda line: None)
            context._base = base
            found.append(run_cell(cell, context, Silent()))
        return found

    return both


@pytest.mark.parametrize("recipe", ["lora[r=4]+freeze", "full", "dora[r=4]+filter"])
def test_a_cell_on_a_divided_base_is_the_cell_on_a_whole_one(run, recipe):
    whole, apart = run(recipe)
    assert apart.record.status is Status.DONE, apart.record.traceback
    assert apart.record.metrics.reliability == whole.record.metrics.reliability
    for one, other in zip(whole.rows, apart.rows, strict=True):
        assert (one.answer_before, one.answer_after) == (other.answer_before, other.answer_after)
        assert other.nll_after == pytest.approx(one.nll_after, abs=1e-4)
    for one, other in zip(whole.record.forgetting, apart.record.forgetting, strict=True):
        assert other.forgetting == pytest.approx(one.forgetting, abs=1e-5)
    assert apart.record.notes.keys() == whole.record.notes.keys()
    assert "device_map" not in whole.record.provenance
    assert apart.record.provenance["device_map"] == dict.fromkeys(HALVES, "cpu")


def test_covariances_of_a_divided_base_are_refused_in_one_line(run):
    _, apart = run("corda[mode=ipm,r=4]")
    assert apart.record.status is Status.FAILED
    assert apart.record.reason.startswith("corda needs a model on one device")
    assert apart.record.traceback == ""


def test_a_lent_copy_runs_its_own_modules(tiny_folder):
    base = divided(load_base(str(tiny_folder)))
    tokens = torch.tensor([[1, 2, 3]])
    before = base.model(tokens).logits
    lent = borrow(base).model
    assert is_divided(lent)
    torch.testing.assert_close(lent(tokens).logits, before)
    for module in lent.modules():
        if hasattr(module, "_hf_hook"):
            assert module.forward.args[0] is module
    lent.model.layers[1].mlp.up_proj.weight.mul_(3)
    assert not torch.equal(lent(tokens).logits, before)
    torch.testing.assert_close(base.model(tokens).logits, before)


def test_a_model_that_fits_on_one_device_is_not_divided(tiny_folder):
    base = load_base(str(tiny_folder), device_map={"": "cpu"})
    assert not base.is_divided
    assert base.devices == (torch.device("cpu"),)
    assert not any(p.requires_grad for p in base.model.parameters())


@pytest.mark.parametrize("away", ["cpu", "disk", "meta"])
def test_a_model_that_does_not_fit_is_refused(away):
    with pytest.raises(UsageError, match=f"'big' does not fit on the GPUs: .* {away};"):
        check_placed("big", {"model.layers.0": 0, "model.layers.1": away})
    check_placed("big", {"model.layers.0": 0, "model.layers.1": 1})
    check_placed("whole", {"": "cpu"})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"device": "cuda:1"}, "leave out --device (CUDA_VISIBLE_DEVICES"),
        ({"device": "cpu"}, "a model is divided over all GPUs"),
        ({"workers": 2}, "one worker uses all GPUs"),
    ],
)
def test_options_that_do_not_go_with_a_map_are_one_line(grid, wrong, told):
    with pytest.raises(UsageError) as raised:
        check_device_map(grid("lora", device_map="auto", **wrong), Compute("cuda:0", "bfloat16"))
    assert told in str(raised.value)
    assert str(raised.value).startswith("--device-map auto")


def test_a_map_needs_a_gpu_and_a_word_it_knows(grid, capsys, monkeypatch):
    monkeypatch.setattr("bench.models.device._may_have_cuda", lambda: False)
    with pytest.raises(UsageError, match="torch sees no CUDA device here; leave it out"):
        run_grid(grid("lora", device_map="auto"), Silent())
    assert cli.main(["run", "--device-map", "balanced"]) == 2
    assert "--device-map 'balanced'" in capsys.readouterr().err


def test_one_worker_takes_all_gpus(grid, monkeypatch):
    gpus = Compute("cuda:0", "bfloat16")
    monkeypatch.setattr("bench.execution.parallelism.compute_of", lambda options: gpus)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr("bench.execution.parallelism.may_stack", lambda cell: True)
    assert worker_count(grid("lora"), [None] * 8) == 4
    assert worker_count(grid("lora"), [None] * 3) == 3
    assert worker_count(grid("lora", device="cuda:1"), [None] * 8) == 1
    assert worker_count(grid("lora", device_map="auto"), [None] * 8) == 1


def test_the_cells_of_a_map_are_those_of_one_device(grid, monkeypatch):
    def ids(**changes):
        options = grid("lora,dora", dtype="bfloat16", device="cpu", **changes)
        return [cell.cell_id for cell in plan_grid(options, ResultsStore(options.out))]

    assert ids() == ids(device_map="auto")


def test_the_map_reaches_the_loader(grid, make_tiny, monkeypatch):
    asked = []

    def load(source, **given):
        asked.append(given["device_map"])
        return SimpleNamespace(name="x", model=make_tiny())

    monkeypatch.setattr("bench.cell.context.load_base", load)
    cell = SimpleNamespace(spec=SimpleNamespace(model="x"), source=None)
    for kind in ("none", "auto"):
        options = grid("lora", device_map=kind)
        CellContext(options, Compute("cpu", "float32"), print).base(cell)
    assert asked == [None, "auto"]


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_cell_on_two_gpus_is_the_cell_on_one(grid, tiny_folder):
    options = grid("lora[r=4]+freeze", device="cuda", dtype="float32")
    [cell] = plan_grid(options, ResultsStore(options.out))
    found = []
    for device_map in (None, HALVES):
        context = CellContext(options, Compute("cuda:0", "float32"), lambda line: None)
        context._base = load_base(str(tiny_folder), device="cuda:0", device_map=device_map)
        found.append(run_cell(cell, context, Silent()))
    one, two = found
    assert two.record.status is Status.DONE, two.record.traceback
    assert two.record.metrics.reliability == one.record.metrics.reliability
    assert two.record.provenance["device_map"]["model.layers.1"] == "1"
