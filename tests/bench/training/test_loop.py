"""The training loop against a loop of PEFT and torch alone, and its own promises."""

from __future__ import annotations

import math

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional

from bench.models.copy_on_write import borrow
from bench.optimizations import Optimization, without
from bench.training.loop import DivergenceError, TrainingPlan, data_order_seed, train
from methods.adapters.lora import Lora
from tasks.prompt import question_text, target_text
from tests.bench.encoded import encode

FACTS = [(f"Where is the {thing}?", place) for thing, place in
         [("cup", "on the table"), ("book", "in bed"), ("key", "here"), ("hat", "on a nail"),
          ("old lamp", "up"), ("pen", "under the sofa"), ("map", "gone")]]  # fmt: skip


def make_plan(base, *, epochs=3, weights=None, rate=1e-2, seed=0, max_steps=None):
    examples = [encode(base.tokenizer, question_text(q), a) for q, a in FACTS]
    weights = torch.ones(len(examples), dtype=torch.float64) if weights is None else weights
    order = data_order_seed(seed, "rooms")
    pad = base.tokenizer.pad_token_id
    return TrainingPlan(examples, weights, epochs, 3, rate, order, pad, max_steps=max_steps)


def lora(base, seed=0):
    torch.manual_seed(seed)
    config = LoraConfig(r=4, lora_alpha=4, target_modules="all-linear", task_type="CAUSAL_LM")
    loan = borrow(base)
    model = get_peft_model(loan.model, config)
    loan.settle()
    return model


def plain_loop(base, plan):
    """Whole rows, full logits, labels masked by hand: nothing of ours but the data order."""
    model = lora(base)
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=0.0)
    generator = torch.Generator().manual_seed(plan.order_seed)
    tokenizer, total = base.tokenizer, 9
    warmup = max(1, round(0.1 * total))
    prompts = [tokenizer(question_text(q))["input_ids"] for q, _ in FACTS]
    targets = [tokenizer(target_text(a))["input_ids"] for _, a in FACTS]
    losses = []
    for _ in range(plan.epochs):
        order = torch.randperm(len(FACTS), generator=generator).tolist()
        order.sort(key=lambda i: len(prompts[i]) + len(targets[i]))
        batches = [order[i : i + 3] for i in range(0, len(order), 3)]
        for which in torch.randperm(len(batches), generator=generator).tolist():
            step = len(losses)
            cosine = 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))
            factor = (step + 1) / warmup if step < warmup else cosine
            for group in optimizer.param_groups:
                group["lr"] = plan.learning_rate * factor
            loss = sum(
                functional.cross_entropy(
                    model(input_ids=torch.tensor([prompts[i] + targets[i]])).logits[
                        0, len(prompts[i]) - 1 : -1
                    ],
                    torch.tensor(targets[i]),
                )
                for i in batches[which]
            ) / len(batches[which])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            losses.append(loss.item())
    return losses


def test_every_loss_equals_a_loop_of_peft_and_torch_alone(tiny_base):
    plan = make_plan(tiny_base)
    log = train(lora(tiny_base), Lora(r=4), plan, lambda step, loss: None)
    assert log.losses == pytest.approx(plain_loop(tiny_base, plan), abs=1e-5)


def test_one_update_of_all_tensors_is_that_of_each(tiny_base):
    plan = make_plan(tiny_base)
    together = train(lora(tiny_base), Lora(r=4), plan, lambda *_: None).losses
    with without(Optimization.ONE_UPDATE):
        apart = train(lora(tiny_base), Lora(r=4), plan, lambda *_: None).losses
    assert together == pytest.approx(apart, abs=1e-6)


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(tiny_base):
    first, again, other = (
        train(lora(tiny_base), Lora(r=4), make_plan(tiny_base, seed=seed), lambda *_: None).losses
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_weights_scale_each_facts_loss(tiny_base):
    weights = torch.tensor([7.0, 0, 0, 0, 0, 0, 0], dtype=torch.float64)
    log = train(lora(tiny_base), Lora(r=4), make_plan(tiny_base, weights=weights), lambda *_: None)
    zero = [loss for loss in log.losses if loss == 0.0]
    assert len(zero) == 6, "only the batch with the weighted fact has a loss, once an epoch"


def test_the_curve_and_the_operations_are_recorded(tiny_base):
    log = train(lora(tiny_base), Lora(r=4), make_plan(tiny_base, epochs=4), lambda *_: None)
    assert [point.epoch for point in log.curve] == [1, 2, 3, 4]
    assert log.curve[-1].loss < log.curve[0].loss
    assert all(len(history) == 4 for history in log.accuracies)
    tokens = sum(len(question_text(q)) + len(target_text(a)) for q, a in FACTS) * 4
    forward_only = 2 * 36_000 * tokens
    assert forward_only < log.flops < 6 * forward_only


@pytest.mark.parametrize(("limit", "epochs"), [(1, 1), (4, 2), (8, 3)])
def test_a_step_limit_takes_the_first_batches_of_the_same_order(tiny_base, limit, epochs):
    plans = [make_plan(tiny_base, rate=0.0, max_steps=steps) for steps in (None, limit)]
    whole, cut = (train(lora(tiny_base), Lora(r=4), plan, lambda *_: None) for plan in plans)
    assert plans[1].steps == limit
    assert cut.losses == whole.losses[:limit], "nothing moves, so equal losses are equal batches"
    assert [point.epoch for point in cut.curve] == list(range(1, epochs + 1))
    for history, short in zip(whole.accuracies, cut.accuracies, strict=True):
        assert short == history[: len(short)]


def test_the_schedule_spans_the_limited_steps(tiny_base):
    plans = [make_plan(tiny_base, max_steps=steps) for steps in (None, 4)]
    whole, cut = (train(lora(tiny_base), Lora(r=4), p, lambda *_: None).losses for p in plans)
    assert cut[:2] == whole[:2], "the first step is warm-up in both"
    assert cut[2:] != whole[2:4], "the rate falls sooner"


def test_a_step_limit_beyond_the_training_changes_nothing(tiny_base):
    plans = [make_plan(tiny_base, max_steps=limit) for limit in (None, 9, 100)]
    first, *others = (train(lora(tiny_base), Lora(r=4), p, lambda *_: None).losses for p in plans)
    assert [plan.steps for plan in plans] == [9, 9, 9]
    assert others == [first, first]


def test_an_exploding_loss_stops_at_its_step(tiny_base):
    model = lora(tiny_base)
    with torch.no_grad():
        model.base_model.model.model.norm.weight.data = torch.full((32,), float("nan"))
    with pytest.raises(DivergenceError) as caught:
        train(model, Lora(r=4), make_plan(tiny_base), lambda *_: None)
    assert caught.value.step == 0


def test_the_data_order_depends_on_seed_and_task_alone():
    assert data_order_seed(0, "countries") == data_order_seed(0, "countries")
    assert len({data_order_seed(s, t) for s in (0, 1) for t in ("countries", "elements")}) == 4
