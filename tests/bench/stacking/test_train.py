"""Cells trained together have the numbers of cells trained alone, whatever the others do."""

from __future__ import annotations

import pytest
import torch

from bench.inference.encoding import collate
from bench.inference.likelihood import fact_losses, target_logits
from bench.optimizations import Optimization, without
from bench.stacking import passes
from bench.stacking.assembly import Part
from bench.stacking.model import stack_models
from bench.stacking.train import train_together
from bench.training.loop import DivergenceError, TrainingPlan, data_order_seed, train
from methods.adapters.lora import Lora
from tasks.prompt import question_text
from tests.bench.encoded import encode
from tests.bench.stacking import stacks
from tests.bench.stacking.stacks import adapted, base_of
from tests.conftest import tiny_llama

FACTS = [(f"Where is the {thing}?", place) for thing, place in
         [("cup", "on the table"), ("book", "in bed"), ("key", "here"), ("hat", "on a nail"),
          ("old lamp", "up"), ("pen", "under the sofa"), ("map", "gone")]]  # fmt: skip
OTHERS = [(f"Who wrote {book}?", name) for book, name in
          [("Emma", "Jane"), ("Ulysses", "James"), ("It", "Stephen"), ("X", "Sue")]]  # fmt: skip
KINDS = [{}, {"r": 2}, {"use_dora": True, "r": 3}, {"use_rslora": True, "r": 8}]


def make_plan(base, *, facts=FACTS, epochs=3, rate=1e-2, seed=0, prompts=("",), size=3, **options):
    contexts = [
        [encode(base.tokenizer, f"{before}{question_text(q)}", a) for q, a in facts]
        for before in prompts
    ]
    weights = torch.linspace(0.5, 1.5, len(facts), dtype=torch.float64)
    pad = base.tokenizer.pad_token_id
    order = data_order_seed(seed, "rooms")
    return TrainingPlan(contexts, weights, epochs, size, rate, order, pad, **options)


def together(base, kinds, plans, on_epoch=None):
    models = [adapted(base, seed, **kind) for seed, kind in enumerate(kinds)]
    stacked = stack_models(base.model, models)
    return train_together(stacked, plans, lambda *_: None, on_epoch), stacked


def alone(base, kinds, plans):
    models = [adapted(base, seed, **kind) for seed, kind in enumerate(kinds)]
    logs = [train(m, Lora(), p, lambda *_: None) for m, p in zip(models, plans, strict=True)]
    return logs, models


def assert_same(found, expected, plan):
    """By the tolerances of the issue."""
    first = plan.steps_per_epoch
    assert len(found.losses) == len(expected.losses)
    assert found.losses[:first] == pytest.approx(expected.losses[:first], rel=1e-5)
    assert found.losses[first:] == pytest.approx(expected.losses[first:], rel=1e-4, abs=1e-6)
    assert found.accuracies == [pytest.approx(history) for history in expected.accuracies]
    assert [point.epoch for point in found.curve] == [point.epoch for point in expected.curve]
    for mine, theirs in zip(found.curve, expected.curve, strict=True):
        assert mine.loss == pytest.approx(theirs.loss, rel=1e-4, abs=1e-6)
        assert mine.token_accuracy == pytest.approx(theirs.token_accuracy)


def assert_all_same(base, kinds, plans):
    (found, stacked), (expected, models) = together(base, kinds, plans), alone(base, kinds, plans)
    for mine, theirs, plan in zip(found, expected, plans, strict=True):
        assert_same(mine, theirs, plan)
    tokens = torch.randint(1, 250, (2, 9))
    with torch.no_grad():
        for mine, theirs in zip(stacked.alone, models, strict=True):
            own, other = mine(input_ids=tokens).logits, theirs(input_ids=tokens).logits
            assert torch.allclose(own, other, atol=2e-3 * other.abs().max()), "weights are views"
    return found


@pytest.mark.parametrize("optimizations", [(), (Optimization.TOKEN_TREE,)], ids=["trees", "rows"])
def test_members_that_differ_in_everything_train_as_alone(tiny_base, optimizations):
    plans = [
        make_plan(tiny_base),
        make_plan(tiny_base, seed=1, rate=3e-2, epochs=2),
        make_plan(tiny_base, facts=OTHERS, size=2),
        make_plan(tiny_base, facts=FACTS[:5], seed=2, warmup=0.5),
    ]
    with without(*optimizations) if optimizations else without(Optimization.KEPT_BASE):
        assert_all_same(tiny_base, KINDS, plans)


@pytest.mark.parametrize(
    "make", [stacks.tiny_gpt2, stacks.tiny_gemma, stacks.tiny_experts], ids=lambda f: f.__name__
)
def test_other_architectures_train_as_alone(make):
    base = base_of(make())
    kinds = [{}, {"r": 2}, {"use_dora": True}]
    if make is stacks.tiny_experts:
        kinds = [{**kind, "target_modules": ["q_proj", "v_proj"]} for kind in kinds]
    assert_all_same(base, kinds, [make_plan(base, epochs=2, seed=seed) for seed in range(3)])


def test_layers_of_another_class_train_as_alone(tiny_base):
    """As those that hold their weights in four bits: their own forward runs, and goes back."""
    for layer in tiny_base.model.model.layers:
        for linear in (layer.self_attn.v_proj, layer.mlp.up_proj):
            linear.__class__ = type("Own", (torch.nn.Linear,), {})
    plans = [make_plan(tiny_base, epochs=2, seed=seed) for seed in range(2)]
    assert_all_same(tiny_base, [{}, {"r": 2}], plans)


def test_layers_that_run_again_going_back_train_as_alone(tiny_base):
    plans = [make_plan(tiny_base, epochs=2, seed=seed) for seed in range(2)]
    expected, _ = alone(tiny_base, KINDS[1:3], plans)
    tiny_base.model.gradient_checkpointing_enable({"use_reentrant": False})
    found, stacked = together(tiny_base, KINDS[1:3], plans)
    assert stacked.is_gradient_checkpointing
    for mine, theirs, plan in zip(found, expected, plans, strict=True):
        assert_same(mine, theirs, plan)


def test_questions_that_begin_alike_are_trees(tiny_base):
    """One of each member, padded to the larger; what is predicted comes last."""
    plans = [make_plan(tiny_base), make_plan(tiny_base, facts=OTHERS)]
    stacked = stack_models(tiny_base.model, [adapted(tiny_base, seed) for seed in range(2)])
    ways = passes.Passes(stacked, [plan.contexts[0] for plan in plans], 0)
    batch = ways.of([Part([0, 1, 2], [1.0] * 3), Part([3], [1.0])])
    assert batch.positions is not None
    assert len(batch.tokens) == 2
    with torch.no_grad():
        losses, hits = batch.fact_losses(ways.logits(batch))
    for member, (model, rows) in enumerate(zip(stacked.alone, ([0, 1, 2], [3]), strict=True)):
        batch = collate(plans[member].contexts[0], rows, 0)
        with torch.no_grad():
            own, right = fact_losses(target_logits(model, batch), batch.labels)
        assert torch.allclose(losses[member, : len(rows)], own, atol=1e-5)
        assert torch.allclose(hits[member, : len(rows)], right)
    assert losses[1, 1:].tolist() == [0.0, 0.0], "padding"


def test_one_member_is_a_training_by_itself(tiny_base):
    for kind in KINDS:
        plan = make_plan(tiny_base)
        (found,), _ = together(tiny_base, [kind], [plan])
        (expected,), _ = alone(tiny_base, [kind], [plan])
        assert found.losses == pytest.approx(expected.losses, rel=1e-6, abs=1e-6)
        assert found.flops == pytest.approx(expected.flops, rel=0.2)


def test_accumulation_parts_limits_and_contexts_differ_too(tiny_base):
    plans = [
        make_plan(tiny_base, accumulation=2),
        make_plan(tiny_base, micro_batches=2),
        make_plan(tiny_base, max_steps=4),
        make_plan(tiny_base, prompts=("", "Please. ", "Well then. ")),
    ]
    assert [plan.steps for plan in plans] == [6, 9, 4, 9]
    assert_all_same(tiny_base, KINDS, plans)


def test_weights_are_drawn_anew_from_a_members_own_model(tiny_base):
    def reweigh(model, epoch):
        with torch.no_grad():
            level = model(input_ids=torch.arange(1, 9)[None]).logits.std()
        assert not model.training
        return None if epoch == 1 else torch.linspace(float(level), 2.0, len(FACTS)).double()

    plans = [make_plan(tiny_base), make_plan(tiny_base, reweigh=reweigh, rate=3e-2)]
    assert_all_same(tiny_base, KINDS[:2], plans)


def test_layers_below_all_members_run_once(tiny_base, monkeypatch):
    """As a placement chooses them, for all members alike or for one of them."""
    last = {"target_modules": [f"model.layers.1.{n}" for n in ("self_attn.q_proj", "mlp.up_proj")]}
    plans = [make_plan(tiny_base), make_plan(tiny_base, seed=1)]
    found, states = [], passes.FrozenPrefix.at
    monkeypatch.setattr(
        passes.FrozenPrefix, "at", lambda self, places: found.append(1) or states(self, places)
    )
    assert_all_same(tiny_base, [last, {**last, "r": 2}], plans)
    assert found
    found.clear()
    assert_all_same(tiny_base, [last, {}], plans)
    assert not found


@pytest.mark.parametrize("rate", [1e6, 1e30])
def test_a_member_that_diverges_leaves_the_others_untouched(tiny_base, rate):
    """Bit for bit as beside one that ends early, and as alone within the tolerance."""
    calm = [make_plan(tiny_base), None, make_plan(tiny_base, seed=1)]
    wild = [calm[0], make_plan(tiny_base, rate=rate), calm[2]]
    (first, ended, last), stacked = together(tiny_base, KINDS[:3], wild)
    assert isinstance(ended, DivergenceError)
    done = ended.step
    assert done > 0
    with pytest.raises(DivergenceError) as caught:
        alone(tiny_base, KINDS[1:2], wild[1:2])
    assert caught.value.step == done
    short = [calm[0], make_plan(tiny_base, rate=1e-3, max_steps=done + 1), calm[2]]
    (beside, _, other), _ = together(tiny_base, KINDS[:3], short)
    assert first.losses == beside.losses
    assert last.losses == other.losses
    expected, _ = alone(tiny_base, [KINDS[0]], [calm[0]])
    assert_same(first, expected[0], calm[0])
    assert all(p.isfinite().all() for p in stacked.alone[0].parameters())


def test_a_member_that_fails_leaves_the_others_untouched(tiny_base):
    def reweigh(model, epoch):
        if epoch == 2:
            raise ValueError("no more")

    plans = [make_plan(tiny_base), make_plan(tiny_base, reweigh=reweigh)]
    (first, failed), _ = together(tiny_base, KINDS[:2], plans)
    assert isinstance(failed, ValueError)
    expected, _ = alone(tiny_base, KINDS[:1], plans[:1])
    assert_same(first, expected[0], plans[0])


def test_members_report_their_steps_and_the_epochs_they_have_ended(tiny_base):
    plans = [make_plan(tiny_base), make_plan(tiny_base, facts=OTHERS, size=2, epochs=2)]
    models = [adapted(tiny_base, seed) for seed in range(2)]
    steps, epochs, modes = [], [], []
    stacked = stack_models(tiny_base.model, models)

    def measure(ended):
        epochs.append(dict(ended))
        modes.append(stacked.training)

    logs = train_together(stacked, plans, lambda *step: steps.append(step), measure)
    for number, log in enumerate(logs):
        mine = [(done, loss) for member, done, loss in steps if member == number]
        assert mine == list(enumerate(log.losses, start=1))
    assert epochs == [{1: 1}, {0: 1}, {0: 2}], "four facts by two end an epoch first"
    assert not any(modes)
    assert not stacked.training
    assert stacked.stack.gradient is None


def test_running_out_of_memory_is_no_members_own_failure(tiny_base):
    def reweigh(model, epoch):
        raise torch.OutOfMemoryError("all of it")

    with pytest.raises(torch.OutOfMemoryError):
        together(tiny_base, KINDS[:1], [make_plan(tiny_base, reweigh=reweigh)])


@pytest.mark.parametrize("kind", [{}, {"use_dora": True}])
def test_a_short_dtype_trains_within_what_batch_shapes_differ_by(kind):
    base = base_of(tiny_llama().to(torch.bfloat16))
    plans = [make_plan(base, seed=seed) for seed in range(2)]
    (found, _), (expected, _) = together(base, [kind] * 2, plans), alone(base, [kind] * 2, plans)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.losses == pytest.approx(theirs.losses, rel=0.03)
        assert mine.curve[-1].loss < mine.curve[0].loss
