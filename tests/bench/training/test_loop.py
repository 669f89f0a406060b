"""The training loop against a loop of PEFT and torch alone, and its own promises."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional

from bench.config.types import Schedule
from bench.models.copy_on_write import borrow
from bench.optimizations import Optimization, without
from bench.training.loop import DivergenceError, TrainingPlan, Updates, data_order_seed, train
from bench.training.schedule import rate_factor
from methods.adapters.lora import Lora
from tasks.prompt import question_text, target_text
from tests.bench.encoded import encode

COSINE, CONSTANT = Schedule.COSINE, Schedule.CONSTANT

FACTS = [(f"Where is the {thing}?", place) for thing, place in
         [("cup", "on the table"), ("book", "in bed"), ("key", "here"), ("hat", "on a nail"),
          ("old lamp", "up"), ("pen", "under the sofa"), ("map", "gone")]]  # fmt: skip


def make_plan(base, *, epochs=3, weights=None, rate=1e-2, seed=0, prompts=("",), **options):
    contexts = [
        [encode(base.tokenizer, f"{before}{question_text(q)}", a) for q, a in FACTS]
        for before in prompts
    ]
    weights = torch.ones(len(FACTS), dtype=torch.float64) if weights is None else weights
    order = data_order_seed(seed, "rooms")
    pad = base.tokenizer.pad_token_id
    return TrainingPlan(contexts, weights, epochs, 3, rate, order, pad, **options)


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
    assert all(len(history) == 5 for history in log.accuracies), "before training and after each"
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
        assert len(short) in {epochs, epochs + 1}, "one more than the passes of training"


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


def test_accumulated_batches_are_one_step_over_all_of_their_facts(tiny_base):
    """Three batches of three, three and one fact: a step of seven facts, each counted alike."""
    apart = make_plan(tiny_base, accumulation=3)
    whole = replace(make_plan(tiny_base), batch_size=7)
    assert apart.steps == whole.steps == 3
    found, expected = (
        train(lora(tiny_base), Lora(r=4), plan, lambda *_: None) for plan in (apart, whole)
    )
    assert found.losses == pytest.approx(expected.losses, abs=1e-5)


def test_the_last_step_of_an_epoch_takes_the_batches_that_are_left(tiny_base):
    plan = make_plan(tiny_base, epochs=2, accumulation=2)
    log = train(lora(tiny_base), Lora(r=4), plan, lambda *_: None)
    assert plan.steps == len(log.losses) == 4
    assert all(len(history) == 3 for history in log.accuracies)


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 1.0])
def test_a_constant_rate_stays_where_warm_up_ends_and_a_cosine_falls_to_nothing(warmup):
    constant, cosine = (rate_factor(shape, warmup, 20) for shape in (CONSTANT, COSINE))
    rising = max(1, round(warmup * 20))
    assert [constant(step) for step in range(rising)] == [
        pytest.approx((step + 1) / rising) for step in range(rising)
    ]
    assert {constant(step) for step in range(rising, 20)} <= {1.0}
    assert [cosine(step) for step in range(rising)] == [constant(step) for step in range(rising)]
    if rising < 19:
        assert cosine(19) < 0.05


def test_what_a_pass_saw_is_the_state_before_its_step(tiny_base):
    """Measured again by whole rows: before the first step, and after the last."""
    plan = replace(make_plan(tiny_base, epochs=2), batch_size=len(FACTS))
    model = lora(tiny_base)
    before = teacher_forced(model, plan)
    log = train(model, Lora(r=4), plan, lambda *_: None)
    assert [history[0] for history in log.accuracies] == before
    assert [history[-1] for history in log.accuracies] == teacher_forced(model, plan)


def test_contexts_take_turns_and_the_dose_is_measured_on_the_first(tiny_base):
    plan = make_plan(tiny_base, epochs=4, prompts=("", "Please. ", "Well then. "))
    turns = [[plan.context_of(fact, epoch) for fact in range(3)] for epoch in (1, 2, 3)]
    assert turns == [[1, 2, 0], [2, 0, 1], [0, 1, 2]]
    model = lora(tiny_base)
    log = train(model, Lora(r=4), plan, lambda *_: None)
    assert all(len(history) == 5 for history in log.accuracies)
    assert [history[-1] for history in log.accuracies] == teacher_forced(model, plan)


def test_measuring_after_an_epoch_changes_nothing(tiny_base):
    seen = []

    def measure(epoch):
        seen.append((epoch, model.training))

    model = lora(tiny_base)
    log = train(model, Lora(r=4), make_plan(tiny_base), lambda *_: None, measure)
    again = train(lora(tiny_base), Lora(r=4), make_plan(tiny_base), lambda *_: None)
    assert log.losses == again.losses
    assert [epoch for epoch, _ in seen] == [1, 2], "the last is measured after training"


def teacher_forced(model, plan):
    """Token accuracy of each fact on the first context, one row at a time."""
    found = []
    for example in plan.contexts[0]:
        tokens = torch.tensor([example.tokens])
        with torch.no_grad():
            logits = model(input_ids=tokens).logits[0, example.start - 1 : -1]
        right = logits.argmax(-1) == tokens[0, example.start :]
        found.append(pytest.approx(right.float().mean().item()))
    return found


def test_training_until_right_is_the_beginning_of_the_whole_training(tiny_base):
    models = [lora(tiny_base) for _ in range(2)]
    plan = make_plan(tiny_base, epochs=60, schedule=CONSTANT, warmup=0.0)
    few = [plan.contexts[0][fact] for fact in (2, 4, 6)]  # what this model can learn
    weights = torch.ones(len(few), dtype=torch.float64)
    plan = replace(plan, contexts=[few], weights=weights, batch_size=1)
    until = train(models[0], Lora(r=4), replace(plan, until_right=True), lambda *_: None)
    epochs = len(until.curve)
    assert 1 < epochs < 60
    by_epoch = list(zip(*until.accuracies, strict=True))
    assert [set(seen) == {1.0} for seen in by_epoch] == [False] * epochs + [True]
    whole = train(models[1], Lora(r=4), replace(plan, epochs=epochs), lambda *_: None)
    assert until.losses == whole.losses
    assert [seen[-1] for seen in whole.accuracies] == [1.0] * len(few)
    for ours, theirs in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(ours, theirs)

    again = train(models[0], Lora(r=4), replace(plan, until_right=True), lambda *_: None)
    assert (again.losses, again.curve) == ([], []), "nothing is left to learn"
    assert again.accuracies == [[1.0]] * len(few)


def test_facts_that_are_not_learned_are_trained_in_all_epochs(tiny_base):
    plan = make_plan(tiny_base, epochs=2, rate=0.0)
    until, whole = (
        train(lora(tiny_base), Lora(r=4), replace(plan, until_right=right), lambda *_: None)
        for right in (True, False)
    )
    assert until.losses == whole.losses
    assert [len(seen) for seen in until.accuracies] == [3] * len(FACTS)


def test_an_optimizer_that_goes_on_equals_one_training(tiny_base):
    """Adam's moments are those of all steps; a fresh optimizer forgets them."""
    models = [lora(tiny_base) for _ in range(3)]
    plan = make_plan(tiny_base, epochs=2, schedule=CONSTANT, warmup=0.0)
    plan = replace(plan, batch_size=len(FACTS))
    train(models[0], Lora(r=4), plan, lambda *_: None)
    once = replace(plan, epochs=1)
    kept = Updates([p for p in models[1].parameters() if p.requires_grad], once)
    for _ in range(2):
        train(models[1], Lora(r=4), once, lambda *_: None, updates=kept)
        train(models[2], Lora(r=4), once, lambda *_: None)
    whole, going_on, afresh = (
        torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad])
        for model in models
    )
    torch.testing.assert_close(going_on, whole, rtol=0, atol=1e-5)
    assert (afresh - whole).abs().max() > 1e-3


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
