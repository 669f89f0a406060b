"""Order, replay and penalty in whole cells: what is trained, in which steps, and what is added."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
import torch

from bench.cell.context import CellContext
from bench.cell.running import RunningCell
from bench.config.options import build_options
from bench.execution.run import run_grid
from bench.forgetting.drift import sample_texts
from bench.forgetting.suite import Seen, forget_facts
from bench.models.device import Compute
from bench.planning.grid import plan_grid
from bench.progress.base import Silent
from bench.store.records import Status
from bench.store.store import ResultsStore
from bench.training.course import Course
from bench.training.loop import train
from methods.own_texts import own_texts
from methods.strategies.kl import Kl
from tasks.base import DataAccess
from tasks.errors import UsageError


@pytest.fixture
def options(tiny_folder, facts_file, tmp_path):
    """Options of cells on the two-layer model and eight facts."""

    def make(methods, **changes):
        given = {
            "methods": methods,
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "none",
            "epochs": 3,
            "batch_size": 3,
            "device": "cpu",
            "out": tmp_path / "results",
            **changes,
        }
        return build_options(given)

    return make


@pytest.fixture
def prepared(options):
    """Prepare the one cell of a grid."""

    def make(methods, **changes):
        chosen = options(methods, **changes)
        [cell] = plan_grid(chosen, ResultsStore(chosen.out))
        running = RunningCell(cell, CellContext(chosen, Compute("cpu", "float32"), print), Silent())
        running.prepare()
        return running

    return make


def epochs_of(plan):
    """The rows of each epoch, and the number of its steps."""
    course = Course(plan)
    found = []
    for epoch in range(1, plan.epochs + 1):
        steps = list(course.steps(epoch))
        course.log.losses += [0.0] * len(steps)
        found.append(([row for step in steps for part in step for row in part], len(steps)))
    return found


def trained(cell):
    torch.manual_seed(0)
    log = train(cell.attached.model, cell.cell.recipe.adapter, cell.plan, lambda *_: None)
    named = cell.attached.model.named_parameters()
    return log, {name: p.detach().clone() for name, p in named if p.requires_grad}


@pytest.mark.parametrize("order", ["near", "far", "mixed"])
def test_a_curriculum_trains_the_same_facts_in_as_many_steps(prepared, order):
    plain, cell = (prepared(f"lora[r=4]{part}") for part in ("", f"+curriculum[order={order}]"))
    distances = cell.signals.distance.tolist()
    for (rows, steps), (expected, count) in zip(
        epochs_of(cell.plan), epochs_of(plain.plan), strict=True
    ):
        assert (Counter(rows), steps) == (Counter(expected), count)
        found = [distances[row] for row in rows]
        if order != "mixed":
            assert found == sorted(found, reverse=order == "far")
    if order == "mixed":
        assert len({tuple(rows) for rows, _ in epochs_of(cell.plan)}) == 3, "shuffled anew"


def test_a_curriculum_orders_only_the_facts_that_are_kept(prepared):
    cell = prepared("lora[r=4]+filter[rho=0.5]+curriculum")
    kept = cell.signals.distance[cell.attached.decisions.kept].tolist()
    for rows, _ in epochs_of(cell.plan):
        assert [kept[row] for row in rows] == sorted(kept)


@pytest.mark.parametrize("source", ["knowledge", "task"])
def test_a_share_is_replayed_in_each_epoch_and_the_control_has_as_many_steps(prepared, source):
    part = f"replay[share=0.5,tasks=elements,source={source}]"
    cell = prepared(f"lora[r=4]+{part}", forgetting="elements", forgetting_limit=4)
    plan = cell.plan
    for rows, steps in epochs_of(plan):
        assert sorted(row for row in rows if row < 8) == list(range(8))
        assert sum(row >= 8 for row in rows) == 8
        assert steps == plan.steps_per_epoch == 6
    assert plan.steps == 18
    log, _ = trained(cell)
    assert len(log.losses) == 18
    assert len(log.accuracies) == 8
    assert all(len(own) == 4 for own in log.accuracies)


def test_what_is_replayed_is_neither_asked_nor_forgotten(prepared):
    cell = prepared("lora[r=4]+replay", forgetting="elements", forgetting_limit=500)
    replayed = set(cell.cell.replay)
    assert replayed
    assert not replayed & {*cell.cell.data.facts, *cell.cell.data.trained}
    asked, _, dropped = forget_facts("elements", DataAccess(None), 500, Seen())
    assert asked
    assert dropped == 0
    assert not replayed & set(asked)
    assert not {fact.subject for fact in replayed} & {fact.subject for fact in asked}


def test_nothing_that_the_task_asks_is_replayed(prepared, tmp_path):
    known = prepared("lora[r=4]+replay[tasks=elements]").cell.replay
    asked = tmp_path / "asked.jsonl"
    rows = [{"id": fact.id, "question": fact.question, "answer": fact.target} for fact in known[:6]]
    asked.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cell = prepared("lora[r=4]+replay[tasks=elements]", tasks=str(asked))
    assert len(cell.cell.replay) == len(known) - 6
    assert not {f.question for f in cell.cell.replay} & {r["question"] for r in rows}


def test_a_forgetting_item_that_is_replayed_is_not_asked(prepared):
    cell = prepared("lora[r=4]+replay", forgetting="elements", forgetting_limit=500)
    asked, _, _ = forget_facts("elements", DataAccess(None), 500, Seen())
    clash = replace(cell.cell, replay=asked[:3], spec=cell.cell.spec.model_copy(
        update={"replay_digest": "another"}
    ))  # fmt: skip
    [task] = cell.context.forgetting_tasks(clash)
    assert any("dropped 3 forget facts" in line for line in task.notes)


def test_what_is_replayed_counts_in_the_identity_and_a_plain_recipe_is_what_it_was(options):
    def ids(methods, forgetting):
        chosen = options(methods, forgetting=forgetting)
        return {cell.cell_id for cell in plan_grid(chosen, ResultsStore(chosen.out))}

    assert ids("lora", "elements") == ids("lora", "countries")
    assert not ids("lora+replay", "elements") & ids("lora+replay", "countries")
    [plain] = plan_grid(options("lora"), ResultsStore(options("lora").out))
    assert "replay" not in plain.spec.model_dump_json()


@pytest.mark.parametrize("penalty", ["kl", "self_distill"])
def test_a_weight_of_0_is_the_plain_recipe_bit_for_bit(prepared, penalty):
    log, weights = trained(prepared("lora[r=4]"))
    found, same = trained(prepared(f"lora[r=4]+{penalty}[weight=0]"))
    assert found.losses == log.losses
    assert all(torch.equal(same[name], weights[name]) for name in weights)


def test_the_divergence_is_0_at_the_start_and_is_added_to_the_loss(prepared):
    cell = prepared("lora[r=4]+kl[weight=3,texts=8,tokens=8]")
    assert abs(float(cell.plan.penalty(cell.attached.model, 0).detach())) < 1e-6
    log, _ = trained(cell)
    plain, _ = trained(prepared("lora[r=4]"))
    assert log.losses[0] == pytest.approx(plain.losses[0], abs=1e-6)
    assert log.losses[1:] != plain.losses[1:]
    assert log.flops > plain.flops
    assert drifted(cell) > 1e-6


@torch.no_grad()
def drifted(cell):
    """KL(base || tuned) on the base's own texts."""
    return float(Kl(texts=8, tokens=8, rows=8).term(cell.signals, 0)(cell.attached.model.eval(), 0))


def test_a_large_weight_keeps_the_model_at_the_base(prepared):
    def moved(part):
        cell = prepared(f"lora[r=4]{part}", lr="1e-2")
        trained(cell)
        return drifted(cell)

    assert moved("+kl[weight=100,texts=8,tokens=8]") < 0.5 * moved("")


def test_self_distillation_adds_the_cross_entropy_of_the_texts(prepared):
    cell = prepared("lora[r=4]+self_distill[texts=4,tokens=8,rows=4]")
    texts = cell.signals.get("own texts", texts=4, tokens=8)
    logits = cell.signals.model(input_ids=texts[:, :-1]).logits[:, -8:]
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), texts[:, -8:].flatten())
    found = cell.plan.penalty(cell.attached.model, 0).detach()
    assert float(found) == pytest.approx(float(expected))


def test_no_text_of_a_penalty_is_one_that_drift_is_measured_on(prepared):
    cell = prepared("lora[r=4]")
    before = torch.get_rng_state()
    own = own_texts(cell.signals, texts=16, tokens=64)
    assert torch.equal(torch.get_rng_state(), before), "sampling leaves no trace"
    measured = sample_texts(cell.context.base(cell.cell), 32)
    assert not {tuple(row) for row in own.tolist()} & {tuple(row) for row in measured.tolist()}
    assert not {*own[:, -65].tolist()} & {*measured[:, -65].tolist()}, "nor begins like one"


def test_all_kinds_go_together_and_are_told(options):
    recipe = "lora[r=4]+curriculum+replay[share=0.5,tasks=elements]+kl[texts=8,tokens=8]"
    [record] = run_grid(options(recipe), Silent()).records
    assert record.status is Status.DONE, record.reason
    assert record.notes["replayed"] == 8
    assert record.notes["penalty_weight"] == 1.0


def test_cells_with_an_order_or_replay_stack_with_the_same_numbers(options, tmp_path):
    recipes = "lora[r=4],lora[r=4]+curriculum[order=far],lora[r=4]+replay[share=0.5,tasks=elements]"
    alone = run_grid(options(recipes, stack=1, out=tmp_path / "alone"), Silent()).records
    together = run_grid(options(recipes, stack=3, out=tmp_path / "together"), Silent()).records
    assert {record.stacked for record in together} == {3}
    for one, other in zip(alone, together, strict=True):
        assert one.spec.method == other.spec.method
        losses = [[point.loss for point in record.curve] for record in (one, other)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_cells_with_a_penalty_run_alone(options):
    recipes = "lora[r=4],dora[r=4],lora[r=4]+kl[texts=8,tokens=8]"
    records = run_grid(options(recipes, stack=3), Silent()).records
    assert [record.status for record in records] == [Status.DONE] * 3
    stacked = {record.spec.method: record.stacked for record in records}
    assert sorted(stacked.values()) == [1, 2, 2]
    assert stacked["lora[r=4]+kl[texts=8,tokens=8]"] == 1


def test_a_share_that_rounds_to_nothing_is_one_line(prepared):
    with pytest.raises(UsageError, match="rounds to none"):
        prepared("lora[r=4]+replay[share=0.01,tasks=elements]")
