"""Whole cells on the two-layer model: the invariants of the design, adapter by adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from bench.cell.context import CellContext
from bench.config.options import build_options
from bench.evaluation.signals import BaseSignals
from bench.execution.run import run_grid
from bench.forgetting.suite import ForgettingTasks, Seen
from bench.inference.generation import answer_budget, greedy_answers
from bench.models.copy_on_write import borrow
from bench.models.device import Compute
from bench.planning.grid import plan_grid
from bench.planning.notices import several_prompts
from bench.planning.planned_cell import CellState
from bench.progress.base import Silent
from bench.runner import run_cell
from bench.store.cost_cache import CostCache
from bench.store.records import PhaseName, Status
from bench.store.store import ResultsStore
from methods.parts import ADAPTERS, Adapter, Setting
from tasks.base import DataAccess
from tasks.forgetting.names import parse_forgetting
from tests.bench.report_cells import make_spec

RECIPES = {
    "full": "full",
    "lora": "lora[r=4]",
    "rslora": "rslora[r=4]",
    "dora": "dora[r=4]",
    "pissa": "pissa[r=4]",
    "milora": "milora[r=4]",
    "olora": "olora[r=4]",
    "eva": "eva[r=4]",
    "lora_ga": "lora_ga[r=4]",
    "lora_one": "lora_one[r=4]",
    "keep_lora": "keep_lora[r=4]",
    "kasa": "kasa[r=4]",
    "osf": "osf",
    "kpm": "corda[mode=kpm,r=4]",
    "ipm": "corda[mode=ipm,r=4]",
    "astra": "astra[r=4]",
    "sc_lora": "sc_lora[r=4]",
    "lora_null": "lora_null[r=4]",
    "mica": "mica[r=4]",
    "oplora": "oplora[k=4,r=4]",
    "corda_pp": "corda_pp[r=4]",
}
FORGETTING = "fictional[n=40,seed=1],drift"


def options(tiny_folder, facts_file, out, **changes):
    given = {
        "methods": "lora[r=4]",
        "tasks": str(facts_file),
        "models": str(tiny_folder),
        "forgetting": FORGETTING,
        "forgetting_limit": 4,
        "epochs": 2,
        "batch_size": 4,
        "device": "cpu",
        "out": out,
    }
    return build_options({**given, **changes})


def planned(chosen):
    return plan_grid(chosen, ResultsStore(chosen.out))


@pytest.fixture
def bench_for(tiny_folder, facts_file, tmp_path):
    """Plan one cell of a recipe and the bench to run it on."""

    def make(recipe, **changes):
        chosen = options(tiny_folder, facts_file, tmp_path, methods=recipe, **changes)
        [cell] = planned(chosen)
        return cell, CellContext(chosen, Compute("cpu", "float32"), print)

    return make


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_a_cell_leaves_the_base_identical_and_its_saved_adapter_answers_alike(
    bench_for, tmp_path, recipe
):
    cell, bench = bench_for(recipe, save_adapters=True)
    base = bench.base(cell)
    before = {name: tensor.clone() for name, tensor in base.model.state_dict().items()}
    result = run_cell(cell, bench, Silent())
    record = result.record
    assert record.status is Status.DONE, record.traceback or record.reason
    assert all(torch.equal(tensor, before[n]) for n, tensor in base.model.state_dict().items())
    assert (record.init_difference < 1e-3) == cell.recipe.adapter.starts_as_base
    assert record.identity == cell.recipe.adapter.starts_as_base
    assert set(record.phases) == {*PhaseName} - {PhaseName.EXPLAIN}
    assert [f.task for f in record.forgetting] == ["fictional[n=40,seed=1]", "drift"]
    assert record.forgetting[1].forgetting > 0, "it was trained, so it drifted"

    folder = tmp_path / record.adapter_path
    if recipe == "full":
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
    else:
        model = PeftModel.from_pretrained(borrow(base).model, folder).eval()
    facts = cell.data.facts
    budget = answer_budget(
        base.tokenizer,
        [t for f in facts for t in (*f.answers, *(n.answers[0] for n in f.neighbours))],
    )
    prompts = [cell.data.prompt.few_shot(fact.question) for fact in facts]
    answers = greedy_answers(model, base.tokenizer, prompts, budget=budget)
    assert answers == [row.answer_after for row in result.rows]


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_an_untrained_adapter_forgets_nothing_unless_its_start_does(bench_for, recipe):
    cell, bench = bench_for(recipe)
    base = bench.base(cell)
    loan = borrow(base)
    signals = BaseSignals(base, cell.data.facts, cell.data.prompt, bench.cache)
    facts = cell.data.facts
    setting = Setting(
        loan.model, facts, cell.calibration, None, 4, 0, signals, base.name, base.tokenizer
    )
    adapter = cell.recipe.adapter
    model = adapter.attach(setting, adapter.prepare(setting)).eval()
    task, drift = bench.suite(cell).measure(model)
    if not adapter.starts_as_base:
        assert drift.forgetting > 0, "what a start costs is told of the untouched base"
        return
    assert task.forgetting == 0.0
    assert task.tuned_items == task.base_items
    assert drift.forgetting < 1e-6
    if recipe.startswith("lora"):
        assert drift.forgetting == 0.0


@pytest.mark.parametrize("recipe", ["full", "pissa[r=4]"])
def test_a_base_says_after_a_training_what_it_said_before(bench_for, recipe):
    cell, bench = bench_for(recipe)
    base, data = bench.base(cell), cell.data
    before = BaseSignals(base, data.facts, data.prompt, CostCache())
    expected = before.before, before.knowledge
    assert run_cell(cell, bench, Silent()).record.status is Status.DONE
    asked = BaseSignals(base, data.facts, data.prompt, bench.cache)
    assert asked.responses.key in bench.cache
    assert asked.sampled_knowledge.key in bench.cache
    assert (asked.before, asked.knowledge) == expected


def test_the_same_cell_gives_the_same_numbers(tiny_folder, facts_file, tmp_path):
    first, second = (
        run_grid(options(tiny_folder, facts_file, tmp_path / name), Silent()).records[0]
        for name in ("a", "b")
    )
    volatile = {"phases", "provenance"}
    assert first.model_dump(exclude=volatile) == second.model_dump(exclude=volatile)
    frames = [
        pd.read_parquet(tmp_path / name / "facts" / f"{first.cell_id}.parquet") for name in "ab"
    ]
    pd.testing.assert_frame_equal(*frames)


def test_a_second_call_runs_only_what_is_missing(tiny_folder, facts_file, tmp_path):
    chosen = options(tiny_folder, facts_file, tmp_path, seeds="0,1")
    assert run_grid(chosen, Silent()).ran == 2
    assert run_grid(chosen, Silent()).ran == 0
    more = options(tiny_folder, facts_file, tmp_path, seeds="0-2")
    outcome = run_grid(more, Silent())
    assert (outcome.ran, outcome.reused, len(outcome.records)) == (1, 2, 3)
    assert run_grid(options(tiny_folder, facts_file, tmp_path, rerun="all"), Silent()).ran == 1


def test_ctrl_c_keeps_finished_cells(tiny_folder, facts_file, tmp_path):
    class Impatient(Silent):
        def cell(self, index, total, label, together=1):
            if index == 2:
                raise KeyboardInterrupt

    chosen = options(tiny_folder, facts_file, tmp_path, seeds="0,1,2")
    outcome = run_grid(chosen, Impatient())
    assert outcome.interrupted
    assert (outcome.ran, len(outcome.records)) == (1, 1)
    assert [cell.state for cell in planned(chosen)] == [CellState.DONE, *[CellState.MISSING] * 2]
    assert run_grid(chosen, Silent()).ran == 2


def test_another_forgetting_task_is_added_and_none_is_lost(tiny_folder, facts_file, tmp_path):
    run_grid(options(tiny_folder, facts_file, tmp_path, save_adapters=True), Silent())
    more = options(tiny_folder, facts_file, tmp_path, forgetting="fictional[n=60,seed=2]")
    [cell] = planned(more)
    assert (cell.state, cell.why) == (CellState.LACKS, "fictional[n=60,seed=2]")
    [record] = run_grid(more, Silent()).records
    assert {f.task for f in record.forgetting} == {
        "fictional[n=40,seed=1]",
        "drift",
        "fictional[n=60,seed=2]",
    }
    assert [cell.state for cell in planned(more)] == [CellState.DONE]


def test_a_part_that_raises_harms_only_its_cells(tiny_folder, facts_file, tmp_path, monkeypatch):
    ADAPTERS.names()
    monkeypatch.setattr(ADAPTERS, "_members", dict(ADAPTERS._members))

    @ADAPTERS.register("broken")
    @dataclass(frozen=True)
    class Broken(Adapter):
        def attach(self, setting, prepared):
            raise RuntimeError("no such luck\nsecond line")

    chosen = options(tiny_folder, facts_file, tmp_path, methods="broken,lora[r=4]")
    broken, fine = run_grid(chosen, Silent()).records
    assert broken.status is Status.FAILED
    assert broken.reason == "RuntimeError: no such luck"
    assert "attach" in broken.traceback
    assert fine.status is Status.DONE
    assert run_grid(chosen, Silent()).ran == 0, "a failed cell is not run again unasked"
    again = options(tiny_folder, facts_file, tmp_path, methods="broken", rerun="failed")
    assert run_grid(again, Silent()).ran == 1


def test_an_adapter_that_leaves_nothing_to_train_is_named(
    tiny_folder, facts_file, tmp_path, monkeypatch
):
    ADAPTERS.names()
    monkeypatch.setattr(ADAPTERS, "_members", dict(ADAPTERS._members))

    @ADAPTERS.register("frozen")
    @dataclass(frozen=True)
    class Frozen(Adapter):
        def attach(self, setting, prepared):
            return setting.model.requires_grad_(False)

    [record] = run_grid(
        options(tiny_folder, facts_file, tmp_path, methods="frozen"), Silent()
    ).records
    assert record.status is Status.FAILED
    assert "'frozen' leaves nothing to train" in record.reason
    assert not record.traceback


def test_divergence_is_recorded_with_its_step(tiny_folder, facts_file, tmp_path):
    chosen = options(tiny_folder, facts_file, tmp_path, lr="1e30", epochs=4)
    [record] = run_grid(chosen, Silent()).records
    assert record.status is Status.DIVERGED
    assert record.step >= 1
    assert "loss" in record.reason


def test_forgetting_never_asks_what_was_trained(tiny_folder, facts_file, tmp_path):
    chosen = options(tiny_folder, facts_file, tmp_path)
    [cell] = planned(chosen)
    [task] = ForgettingTasks(DataAccess(None), limit=100).build(
        parse_forgetting("fictional[n=40,seed=1]"), Seen(calibrated=cell.calibration)
    )
    asked = {row["question"] for row in task.task.test_docs()}
    trained = {fact.question for fact in (*cell.data.facts, *cell.calibration)}
    assert asked
    assert not asked & trained


def test_identity_changes_with_what_matters_and_only_then(tiny_folder, facts_file, tmp_path):
    def ids(**changes):
        return {
            cell.cell_id for cell in planned(options(tiny_folder, facts_file, tmp_path, **changes))
        }

    plain = ids()
    for changes in ({"lr": "1e-4"}, {"seeds": "1"}, {"epochs": 3}, {"limit": 4}, {"batch_size": 2},
                    {"methods": "lora[r=8]"}, {"dtype": "bfloat16"}):  # fmt: skip
        assert ids(**changes).isdisjoint(plain), changes
    assert ids(forgetting="drift", save_adapters=True, forgetting_limit=9) == plain
    kpm = {"methods": "corda"}
    assert ids(**kpm) != ids(**kpm, forgetting="elements"), "kpm calibrates on another task"


def test_too_few_steps_are_said_before_and_recorded(tiny_folder, facts_file, tmp_path):
    class Listening(Silent):
        lines: ClassVar[list[str]] = []

        def note(self, line):
            self.lines.append(line)

    [record] = run_grid(options(tiny_folder, facts_file, tmp_path), Listening()).records
    warning = f"{facts_file}: 4 optimizer steps"
    assert any(line.startswith(warning) for line in Listening.lines)
    assert any(line.startswith(warning) for line in record.warnings)
    many = options(tiny_folder, facts_file, tmp_path, epochs=20)
    assert not any("steps" in line for line in run_grid(many, Silent()).records[0].warnings)


@pytest.mark.parametrize(("trained", "told"), [("plain", False), ("chat", False), ("mixed", True)])
def test_robustness_in_contexts_that_were_trained_is_told_apart(trained, told):
    said = several_prompts(make_spec(train_prompt=trained))
    assert ["few_shot and chat" in line for line in said] == [True] * told
