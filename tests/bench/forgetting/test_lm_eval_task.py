import random
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from bench.forgetting.lm_eval_model import SharedPrefixLM
from bench.forgetting.lm_eval_task import knowledge_harness_task
from bench.inference.float32_head import install_head
from bench.models.loading import Base
from bench.optimizations import Optimization, without
from tasks.fact import Fact
from tasks.prompt import Prompt
from tests.conftest import byte_tokenizer

PROMPT = Prompt((("What is two plus two?", "four"), ("Is ice cold?", "yes")))


@pytest.fixture
def choice_facts():
    names = ["iron", "gold", "neon", "zinc", "lead", "tin"]
    return [
        Fact(f"e{i}", f"What is the symbol of {n}?", (n[:2],), choices=("Xx", n[:2], "Q"))
        for i, n in enumerate(names)
    ]


@pytest.fixture
def open_facts():
    return [Fact(f"o{i}", f"Capital of land {i}?", (f"city {i}", f"town {i}")) for i in range(5)]


def adapted(base, config):
    import copy

    from peft import get_peft_model

    return get_peft_model(copy.deepcopy(base.model), config).eval()


def lora(base, *, scrambled=False):
    from peft import LoraConfig

    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = adapted(base, config)
    if scrambled:
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    weight.normal_(std=0.5)
    return model


def test_multiple_choice_asks_with_the_demonstrations(tiny_base, choice_facts):
    task = knowledge_harness_task("elements", choice_facts, PROMPT)
    task.score(tiny_base, tiny_base.model)
    request = task.task.instances[1]
    assert request.args == (PROMPT.few_shot(choice_facts[0].question), " ir\n")


def test_scores_are_those_of_plain_log_likelihoods(tiny_base, choice_facts):
    task = knowledge_harness_task("elements", choice_facts, PROMPT)
    scores = task.score(tiny_base, tiny_base.model)
    expected = [plain_accuracy(tiny_base, fact) for fact in choice_facts]
    assert list(scores.items) == expected
    assert scores.metric == "acc"
    assert scores.floor == pytest.approx(1 / 3)


def plain_accuracy(base, fact):
    likelihoods = [log_likelihood(base, fact.question, choice) for choice in fact.choices]
    return float(fact.choices[likelihoods.index(max(likelihoods))] == fact.target)


def log_likelihood(base, question, choice):
    context = base.tokenizer(PROMPT.few_shot(question))["input_ids"]
    ending = base.tokenizer(f" {choice}\n")["input_ids"]
    logits = base.model(torch.tensor([context + ending])).logits[0].log_softmax(-1)
    return sum(logits[len(context) - 1 + i, token].item() for i, token in enumerate(ending))


def test_an_identity_adapter_scores_as_the_base(tiny_base, choice_facts, open_facts):
    for facts in (choice_facts, open_facts):
        task = knowledge_harness_task("t", facts, PROMPT)
        before = task.score(tiny_base, tiny_base.model)
        assert task.score(tiny_base, lora(tiny_base)) == before


def test_sharing_contexts_gives_the_plain_log_likelihoods(tiny_base, choice_facts, monkeypatch):
    from bench.forgetting import lm_eval_model as language_model

    model = lora(tiny_base, scrambled=True)
    task = knowledge_harness_task("elements", choice_facts, PROMPT)
    used = []
    scores = language_model.branch_scores
    monkeypatch.setattr(
        language_model, "branch_scores", lambda *a: used.append(len(a[2])) or scores(*a)
    )
    task.score(tiny_base, model)
    shared = [instance.resps[0][0] for instance in task.task.instances]
    assert used == [len(choice_facts)], "each question was run once for all its choices"
    monkeypatch.setattr(language_model, "branches_agree", lambda *_: False)
    task.score(tiny_base, model)
    plain = [instance.resps[0][0] for instance in task.task.instances]
    assert len(used) == 1
    assert shared == pytest.approx(plain, abs=1e-4)
    assert len(set(plain)) > 10


def test_prompt_tuning_is_scored_on_both_forms(tiny_base, choice_facts, open_facts):
    from peft import PromptTuningConfig

    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    for facts in (choice_facts, open_facts):
        task = knowledge_harness_task("t", facts, PROMPT)
        scores = task.score(tiny_base, adapted(tiny_base, config))
        assert len(scores.items) == len(facts)
    assert len(task.task.instances[0].resps[0]) > 0, "something was generated"


def test_generation_counts_any_accepted_answer_after_normalising(tiny_base, open_facts):
    task = knowledge_harness_task("countries", open_facts, PROMPT)
    process = task.task.config.process_results
    assert process({"answers": ["city 1", "town 1"]}, ["The Town 1."]) == {"exact_match": 1.0}
    assert process({"answers": ["city 1"]}, ["city 2"]) == {"exact_match": 0.0}
    scores = task.score(tiny_base, tiny_base.model)
    assert (scores.metric, scores.floor, scores.mean) == ("exact_match", 0.0, 0.0)
    assert task.task.instances[0].args[0] == PROMPT.few_shot(open_facts[0].question)


def test_measuring_disturbs_neither_random_states_nor_modes_nor_the_base(
    tiny_base, choice_facts, quiet, capfd
):
    model = lora(tiny_base).train()
    before = {name: weight.clone() for name, weight in tiny_base.model.state_dict().items()}
    task = knowledge_harness_task("elements", choice_facts, PROMPT)
    random.seed(7), np.random.seed(7), torch.manual_seed(7)
    expected = (random.random(), np.random.rand(), torch.rand(1).item())
    random.seed(7), np.random.seed(7), torch.manual_seed(7)
    task.score(tiny_base, model)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected
    assert all(module.training for module in model.modules())
    after = tiny_base.model.state_dict()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())
    output = capfd.readouterr()
    assert (output.out, output.err) == ("", "")


def test_choices_that_do_not_hold_the_answer_are_refused():
    from tasks.errors import UsageError

    fact = Fact("e1", "Symbol of iron?", ("Fe",), choices=("Au", "Ag"))
    with pytest.raises(UsageError, match="fact 'e1': none of its choices"):
        knowledge_harness_task("elements", [fact], PROMPT)


@pytest.mark.parametrize("share", [True, False])
def test_likelihoods_of_a_model_in_half_precision_are_summed_in_float32(make_tiny, share):
    model = make_tiny().bfloat16()
    install_head(model)
    base = Base("tiny", "0", model, byte_tokenizer())
    requests = [(("", ""), [*range(1, 31), n], [n, 40, 41 + n]) for n in (5, 6, 7)]
    with nullcontext() if share else without(Optimization.SHARED_PROMPT):
        found = SharedPrefixLM(base, 2)._loglikelihood_tokens(requests, disable_tqdm=True)
    for (_, context, ending), (score, _) in zip(requests, found, strict=True):
        logits = model(torch.tensor([[*context, *ending[:-1]]])).logits[0, len(context) - 1 :]
        exact = logits.double().log_softmax(-1).gather(1, torch.tensor([ending]).T).sum()
        assert score == pytest.approx(float(exact), abs=2e-3)  # bfloat16 would be off by 0.06
