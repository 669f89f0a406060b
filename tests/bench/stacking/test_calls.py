"""How many operations a step launches, for one cell and for each of sixteen."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model

from bench.inference.encoding import collate
from bench.inference.likelihood import target_logits
from bench.models.copy_on_write import borrow
from bench.stacking.model import stack_models
from bench.stacking.train import train_together
from bench.training.fuse_adapters import fuse_projections
from bench.training.loop import TrainingPlan, train
from methods.adapters.lora import Lora
from tasks.prompt import question_text
from tests.bench.encoded import encode
from tests.bench.stacking.stacks import base_of
from tests.counting import FACTS, Calls, shape_of_1b

ALONE = {"lora": 2502, "dora": 4630}
"""Calls of one step of one cell before cells could be trained together."""

SHARE = 8
"""How many times fewer a cell needs beside fifteen others."""


@pytest.fixture(scope="module")
def base():
    return base_of(shape_of_1b())


def plan(base, epochs):
    examples = [encode(base.tokenizer, question_text(question), a) for question, a in FACTS]
    weights = torch.ones(len(FACTS), dtype=torch.float64)
    return TrainingPlan([examples], weights, epochs, len(FACTS), 1e-3, 0, 0)


def attached(base, seed, kind):
    torch.manual_seed(seed)
    options = {"use_dora": True} if kind == "dora" else {}
    loan = borrow(base)
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", **options)
    model = get_peft_model(loan.model, config).eval()
    loan.settle()
    batch = collate(plan(base, 1).contexts[0], range(len(FACTS)), 0)
    assert fuse_projections(model, lambda: target_logits(model, batch)) == 7 * 16
    return model


class Step:
    """Counts the calls from the end of one step to the end of the next one."""

    def __init__(self):
        self.calls = Calls()
        self.totals = []

    def ended(self, *_):
        self.totals.append(self.calls.total)

    def taken(self, members=1):
        return self.totals[-1] - self.totals[-1 - members]


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_one_cell_needs_no_more_calls_than_it_did(base, kind):
    model, step = attached(base, 0, kind), Step()
    with step.calls:
        train(model, Lora(r=4), plan(base, 3), step.ended)
    assert 0.9 * ALONE[kind] < step.taken() <= ALONE[kind]


@pytest.mark.parametrize(("kind", "members"), [("lora", 1), ("lora", 16), ("dora", 16)])
def test_many_cells_share_them(base, kind, members):
    stacked = stack_models(base.model, [attached(base, seed, kind) for seed in range(members)])
    step = Step()
    with step.calls:
        train_together(stacked, [plan(base, 3)] * members, step.ended)
    most = ALONE[kind] if members == 1 else ALONE[kind] / SHARE
    assert step.taken(members) / members <= most
