"""One training of the interference study: what it is, how it ends, what it measures."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from bench.evaluation.responses import respond, respond_untrained
from bench.inference.contexts import Contexts
from bench.progress.base import Silent
from bench.store.cost_cache import CostCache
from bench.store.records import Status
from bench.studies.interference import training as interference_training
from bench.studies.interference.plan import Group, plan_study
from bench.studies.interference.run import run_interference
from bench.studies.interference.store import ASKED
from bench.studies.interference.training import measure, run_training
from tasks.context import Context
from tasks.errors import UsageError


def test_too_few_facts_and_two_methods_are_refused(asked):
    with pytest.raises(UsageError, match="has 9 facts to train; give sizes up to 9"):
        run_interference(asked(sizes="1,10"), Silent())
    with pytest.raises(ValidationError, match="exactly one"):
        asked(method="lora,dora")


def test_a_study_without_any_comparison_says_why(asked):
    with pytest.raises(UsageError, match=r"no fact could be compared: loss .* at step"):
        run_interference(asked(lr=1e30, sizes="2"), Silent())


def test_states_that_are_not_finite_are_a_divergence(asked, tiny_base, monkeypatch):
    planned = plan_study(asked(exposures=1)).trainings[1]
    found = measure(tiny_base.model, tiny_base, planned.group, planned.cell.data.prompt, {})
    broken = [replace(fact, few_shot=replace(fact.few_shot, nll=math.nan)) for fact in found]
    monkeypatch.setattr(interference_training, "measure", lambda *given: tuple(broken))
    trained = run_training(planned, tiny_base, CostCache(), lambda *given: None)
    assert trained.record.status is Status.DIVERGED
    assert trained.outcomes == ()


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 4 bytes")]
)
def test_memory_that_ran_out_is_told_apart_from_other_failures(
    asked, tiny_base, monkeypatch, error
):
    def breaking(*given):
        raise error

    monkeypatch.setattr(interference_training, "train", breaking)
    planned = plan_study(asked(exposures=1)).trainings[1]
    trained = run_training(planned, tiny_base, CostCache(), lambda *given: None)
    assert trained.record.status is Status.OUT_OF_MEMORY
    assert trained.record.reason.startswith(type(error).__name__)


def test_facts_are_measured_as_a_cell_evaluates_them(asked, tiny_base):
    plan = plan_study(asked())
    prompt = plan.cell.data.prompt
    found = measure(tiny_base.model, tiny_base, Group((), plan.measured), prompt, {})
    contexts = Contexts(tiny_base.tokenizer, prompt)
    before = respond_untrained(tiny_base.model, contexts, plan.measured)
    expected = respond(tiny_base.model, contexts, plan.measured, before).per_fact()
    examples = {context: contexts.examples(context, plan.measured) for context in ASKED}
    for i, (outcome, response) in enumerate(zip(found, expected, strict=True)):
        for context in ASKED:
            said, answer = outcome.said(context), response.answers[context]
            assert said.answer.startswith(answer), "the same answer, with more room"
            assert said.confused is None, "nothing was trained"
            nll = _nll(tiny_base.model, examples[context][i])
            assert said.nll == pytest.approx(nll, abs=1e-5)
        assert outcome.plain.nll == pytest.approx(response.nll, abs=1e-5)
        example = examples[Context.PLAIN][i]
        hidden = _hidden(tiny_base.model, example.tokens)
        np.testing.assert_allclose(outcome.state, hidden[example.start - 1], atol=1e-5)


def _nll(model, example):
    import torch

    with torch.no_grad():
        logits = model(input_ids=torch.tensor([example.tokens])).logits[0]
    told = logits[example.start - 1 : -1].log_softmax(-1)
    targets = torch.tensor(example.tokens[example.start :])
    return -told.gather(1, targets[:, None]).mean().item()


def _hidden(model, tokens):
    import torch

    with torch.no_grad():
        output = model(input_ids=torch.tensor([tokens]), output_hidden_states=True)
    return output.hidden_states[-1][0].numpy()


def test_identity_changes_with_what_matters(asked):
    def digests(**changes):
        return {training.spec.digest for training in plan_study(asked(**changes)).trainings[1:]}

    plain = digests()
    for changes in ({"lr": 1e-3}, {"seeds": "1"}, {"exposures": 4}, {"method": "lora[r=8]"},
                    {"batch_size": 3}, {"schedule": "constant"}, {"warmup": 0.0}):  # fmt: skip
        assert digests(**changes).isdisjoint(plain), changes
    assert digests(sizes="5") < plain
    assert len(digests(seeds="0,1")) == 2 * len(plain)
