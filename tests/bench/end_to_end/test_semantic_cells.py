"""Whole cells of semantic recipes on the two-layer model."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from bench.cell.context import CellContext
from bench.cell.decisions import decide
from bench.config.options import build_options
from bench.evaluation.signals import BaseSignals
from bench.execution.run import run_grid
from bench.models.copy_on_write import borrow
from bench.models.device import Compute
from bench.planning.grid import plan_grid
from bench.progress.base import Silent
from bench.runner import run_cell
from bench.store.cost_cache import CostCache
from bench.store.records import Status
from bench.store.store import ResultsStore
from bench.training.loop import TrainingPlan, train
from methods.notes import stored
from methods.parts import Setting
from methods.recipe import parse_recipe
from tasks.context import Context

RECIPES = (
    "lora,freeze,filter,lora+random_filter,lora+drop[side=far],reweight,lora+filter+reweight,"
    "dora+freeze,corda[samples=8]+reweight,full+freeze,lora+random_cut"
)
NUMBERS = {"metrics", "curve", "parameters", "init_difference", "flops"}


@pytest.fixture
def run(tiny_folder, facts_file, tmp_path):
    """Run recipes; returns their records and a reader of a record's rows."""

    def start(methods, **changes):
        given = {
            "methods": methods,
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "none",
            "epochs": 2,
            "batch_size": 4,
            "device": "cpu",
            "out": tmp_path,
        }
        records = run_grid(build_options({**given, **changes}), Silent()).records
        for record in records:
            assert record.status is Status.DONE, record.traceback or record.reason
        return records

    return start


@pytest.fixture
def rows_of(tmp_path):
    return lambda record: pd.read_parquet(tmp_path / "facts" / f"{record.cell_id}.parquet")


def test_every_semantic_recipe_runs_and_says_what_it_chose(run, rows_of):
    records = {record.spec.method: record for record in run(RECIPES, epochs=1)}
    assert len(records) == 11
    frozen = records["lora+freeze"].notes
    assert (frozen["cut"], frozen["cut_stability"], frozen["layers"]) == (1, 1.0, [1])
    assert (len(frozen["layer_deviation"]), len(frozen["gain"])) == (3, 2)
    assert records["dora+freeze"].notes["cut"] == records["full+freeze"].notes["cut"] == 1
    assert records["lora+random_cut"].notes["layers"] == [1]
    assert records["lora"].notes["layers"] is None
    assert "kept_facts" not in records["lora"].notes

    for method in ("lora+filter", "lora+random_filter", "lora+drop", "lora+filter+reweight"):
        record, rows = records[method], rows_of(records[method])
        assert record.notes["kept"] == len(record.notes["kept_facts"]) == 6
        assert sorted(record.notes["kept_facts"]) == sorted(rows[rows.kept].fact_id)
        assert rows[~rows.kept].weight.eq(0).all()
        assert rows[rows.kept].weight.mean() == pytest.approx(1, abs=1e-9)
        assert len(rows) == 8, "a dropped fact is still evaluated"
    assert records["lora+drop"].notes["overlap_far"] == 1.0
    low, high = records["lora+filter"].notes["removed_interval"]
    removed = rows_of(records["lora+filter"]).query("not kept").distance_before
    assert (removed.min(), removed.max()) == (low, high)
    weights = rows_of(records["lora+reweight"])[["distance_before", "weight"]]
    ordered = weights.sort_values("distance_before").weight
    assert ordered.is_monotonic_increasing
    assert ordered.iloc[0] < ordered.iloc[-1]


def test_weights_of_1_on_all_facts_are_the_plain_adapter(run, rows_of):
    level = "uniform,filter[rho=0],reweight[beta=0,shape=linear],random_filter[rho=0]+uniform"
    plain, *same = run(f"lora,{level}")
    assert len(same) == 4
    for record in same:
        assert plain.model_dump(include=NUMBERS) == record.model_dump(include=NUMBERS)
        pd.testing.assert_frame_equal(rows_of(plain), rows_of(record))


def test_a_huge_temperature_gives_the_plain_losses(run):
    plain, level, sharp = run("lora,reweight[tau=1e9],reweight[tau=0.01]")
    losses = [[point.loss for point in record.curve] for record in (plain, level, sharp)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-6)
    assert losses[2] != pytest.approx(losses[0], abs=1e-6)


def test_weights_are_measured_anew_while_training(run, monkeypatch):
    asked = []
    now = BaseSignals.now

    def counted(self, model, kept):
        assert not model.training
        asked.append(int(kept.sum()))
        return now(self, model, kept)

    monkeypatch.setattr(BaseSignals, "now", counted)
    once, anew = run("filter+reweight,filter+reweight[refresh=2]", epochs=5, lr="3e-2")
    assert asked == [6, 6], "before epochs 3 and 5"
    first, second = ([point.loss for point in record.curve] for record in (once, anew))
    assert first[:2] == second[:2]
    assert first[2:] != second[2:]


def test_a_placement_beyond_the_model_is_the_cells_reason(
    tiny_folder, facts_file, tmp_path, snapshot
):
    given = {"methods": "last[n=3]", "tasks": str(facts_file), "models": str(tiny_folder),
             "forgetting": "none", "device": "cpu", "out": tmp_path}  # fmt: skip
    options = build_options(given)
    [cell] = plan_grid(options, ResultsStore(tmp_path))
    record = run_cell(cell, CellContext(options, Compute("cpu", "float32"), print), Silent()).record
    assert record.status is Status.FAILED
    assert "3" in record.reason
    assert "2" in record.reason
    snapshot("failures", "a placement beyond the model", record.reason)
    assert not record.traceback


@pytest.mark.parametrize("adapter", ["lora[r=4]", "dora[r=4]", "full"])
def test_nothing_at_or_below_the_cut_gets_a_gradient_or_changes(
    tiny_base, make_tiny, facts, prompt, adapter
):
    base = type(tiny_base)("deep", "random", make_tiny(layers=5), tiny_base.tokenizer)
    recipe = parse_recipe(f"{adapter}+freeze")
    signals = BaseSignals(base, facts, prompt, CostCache())
    decisions = decide(recipe, signals, 5, 0)
    cut = stored(decisions.notes)["cut"]
    assert decisions.layers == tuple(range(cut, 5))
    loan = borrow(base)
    setting = Setting(
        loan.model, facts, (), decisions.layers, 4, 0, signals, "org/deep", base.tokenizer
    )
    model = recipe.adapter.attach(setting, recipe.adapter.prepare(setting))
    loan.settle()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with_gradient = set()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.register_hook(lambda grad, name=name: with_gradient.add(name))
    examples = signals.contexts.examples(Context.PLAIN, facts)
    plan = TrainingPlan([examples], torch.ones(len(facts)), 2, 4, 1e-2, 0, 0)
    train(model, recipe.adapter, plan, lambda step, loss: None)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    above = tuple(f"layers.{index}." for index in decisions.layers)
    assert changed == with_gradient
    assert {place for place in above if any(place in name for name in changed)} == set(above)
    assert all(any(place in name for place in above) for name in changed)


@pytest.fixture
def facts(facts_file, tmp_path):
    """The eight facts of the file."""
    options = build_options({"tasks": str(facts_file), "out": tmp_path, "forgetting": "none"})
    return plan_grid(options, ResultsStore(tmp_path))[0].data.facts


@pytest.fixture
def prompt(facts):
    from tasks.prompt import BUILT_IN, Prompt

    return Prompt(BUILT_IN)
