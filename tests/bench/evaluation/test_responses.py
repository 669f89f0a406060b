"""Answers, likelihoods and distances: shortcuts give what the plain path gives."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from peft import PromptTuningConfig, TaskType, get_peft_model

from bench.evaluation.embedding_space import AnswerSpace
from bench.evaluation.fact_rows import fact_rows
from bench.evaluation.metrics import summarise
from bench.evaluation.responses import (
    Responses,
    respond,
    respond_together,
    respond_untrained,
)
from bench.inference import likelihood
from bench.inference import prefix_cache as prefix
from bench.inference.contexts import Contexts
from bench.inference.generation import answer_budget, greedy_answers
from bench.inference.prefix_cache import usable_prefix
from bench.models.copy_on_write import borrow
from bench.stacking.model import stack_models
from bench.store.knowledge import KnowledgeCategory
from tasks.context import Context, TrainPrompt
from tasks.errors import UsageError
from tasks.fact import Fact, Neighbour
from tasks.prompt import BUILT_IN, Prompt
from tests.bench.encoded import encode
from tests.bench.stacking.stacks import adapted

PROMPT = Prompt(BUILT_IN)
FACTS = tuple(
    Fact(
        id=str(number),
        question=f"What is {'very ' * number}small?",
        answers=(f"thing {number}", "dust"),
        paraphrases=("Name it.", f"And number {number}?"),
        neighbours=(Neighbour(f"What is {number} large?", ("a house",)),),
    )
    for number in range(5)
)


def rows_of(base, facts, before, after, knowledge):
    """The rows of facts that are all learned, in one epoch."""
    space = AnswerSpace(base.tokenizer, base.model.get_input_embeddings().weight)
    count = len(facts)
    rows, warnings = fact_rows(
        SimpleNamespace(facts=facts, before=before, knowledge=knowledge, space=space),
        after,
        kept=torch.ones(count, dtype=torch.bool),
        weights=torch.ones(count),
        accuracies=[[0.5, 1.0]] * count,
    )
    assert not warnings
    return rows


def untrained(base, facts=FACTS):
    return respond_untrained(base.model, Contexts(base.tokenizer, PROMPT), facts)


def in_all(said):
    """The same answers in every context."""
    return dict.fromkeys(Context, said)


def prompts():
    return [PROMPT.few_shot(fact.question) for fact in FACTS]


def test_sharing_the_demonstrations_changes_no_answer(tiny_base):
    shared, plain = (
        greedy_answers(
            tiny_base.model, tiny_base.tokenizer, prompts(), budget=8, batch_size=2, share=share
        )
        for share in (True, False)
    )
    assert shared == plain
    assert all(shared), "at least one token is generated"


def test_what_only_shows_what_was_carried_over_can_be_left_out(tiny_base):
    before = untrained(tiny_base)
    contexts = Contexts(tiny_base.tokenizer, PROMPT)
    whole, less = (
        respond(tiny_base.model, contexts, FACTS, before, everywhere=everywhere)
        for everywhere in (True, False)
    )
    assert Context.BARE in whole.answers
    assert all(map(len, whole.paraphrases))
    assert less.answers == {c: whole.answers[c] for c in (Context.FEW_SHOT, Context.PLAIN)}
    assert not any(less.paraphrases)
    assert less.nll == pytest.approx(whole.nll)
    generality = [
        row.generality
        for row in rows_of(tiny_base, FACTS, before, less, [KnowledgeCategory.UNKNOWN] * 5)
    ]
    assert generality == [None] * 5


def test_prompt_adapters_answer_through_generate(tiny_base):
    config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=3)
    model = get_peft_model(borrow(tiny_base).model, config).eval()
    assert usable_prefix(model, [[1] * 40, [1] * 41]) is None
    answers = greedy_answers(model, tiny_base.tokenizer, prompts(), budget=4)
    assert len(answers) == len(FACTS)
    assert all("Question" not in answer for answer in answers), "the prompt is not repeated"


def test_a_model_that_ignores_cached_states_is_found_by_measuring(tiny_base):
    class Forgetful(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, input_ids, past_key_values=None, **kwargs):
            return self.model(input_ids=input_ids)

    contexts = [list(range(1, 41)), list(range(1, 42))]
    assert usable_prefix(Forgetful(tiny_base.model), contexts) is None
    assert usable_prefix(tiny_base.model, contexts).tokens == 39


def test_cached_states_are_checked_again_when_a_trained_weight_has_changed(tiny_base, monkeypatch):
    checked = []
    plain = prefix.states_agree
    monkeypatch.setattr(prefix, "states_agree", lambda *a: checked.append(a) or plain(*a))
    model = borrow(tiny_base).model
    contexts = [list(range(1, 41)), list(range(1, 42))]
    assert usable_prefix(model, contexts).tokens == 39
    assert usable_prefix(model, [[1, 2], [3, 4]]).tokens == 0
    weight = model.lm_head.weight.requires_grad_(True)
    usable_prefix(model, contexts)
    assert len(checked) == 1
    with torch.no_grad():
        weight.mul_(2)
    usable_prefix(model, contexts)
    usable_prefix(model, contexts)
    assert len(checked) == 2
    usable_prefix(borrow(tiny_base).model, contexts)
    assert len(checked) == 3


def test_likelihoods_are_the_same_with_and_without_a_shared_prefix(tiny_base, monkeypatch):
    examples = [
        encode(tiny_base.tokenizer, p, f.target) for p, f in zip(prompts(), FACTS, strict=True)
    ]
    arguments = (tiny_base.model, examples, tiny_base.tokenizer.pad_token_id, 2)
    shared = likelihood.negative_log_likelihoods(*arguments)
    monkeypatch.setattr(likelihood, "usable_prefix", lambda *_: None)
    assert shared == pytest.approx(likelihood.negative_log_likelihoods(*arguments), abs=1e-4)
    for value, example in zip(shared, examples, strict=True):
        logits = tiny_base.model(torch.tensor([example.tokens])).logits[0]
        target = torch.tensor(example.tokens[example.start :])
        expected = torch.nn.functional.cross_entropy(logits[example.start - 1 : -1], target)
        assert value == pytest.approx(expected.item(), abs=1e-4)


def test_an_answer_has_room_for_the_longest_target_and_a_bound(tiny_base):
    assert answer_budget(tiny_base.tokenizer, ["ab", "abcd"]) == len(" abcd\n") + 4
    assert answer_budget(tiny_base.tokenizer, ["a" * 500]) == 256


def test_distances_obey_their_laws(tiny_base):
    space = AnswerSpace(tiny_base.tokenizer, tiny_base.model.get_input_embeddings().weight)
    assert space.distance("dust", ["stone", "dust"]) == 0.0
    assert space.distance("", ["dust"]) == 1.0
    assert space.movement("", "") == 0.0
    assert space.movement("dust", "") == 1.0
    for one, two in [("dust", "stone"), ("a", "zebra 9"), ("x y", "Ω")]:
        assert space.distance(one, [two]) == pytest.approx(space.distance(two, [one]), abs=1e-12)
        assert 0.0 < space.distance(one, [two]) <= 2.0


def test_rows_put_before_and_after_side_by_side(tiny_base):
    contexts = Contexts(tiny_base.tokenizer, PROMPT)
    before = untrained(tiny_base)
    after = respond(tiny_base.model, contexts, FACTS, before)
    kinds = [KnowledgeCategory.MAYBE] * 2 + [KnowledgeCategory.UNKNOWN] * 3
    rows = rows_of(tiny_base, FACTS, before, after, kinds)
    assert [row.movement for row in rows] == [0.0] * 5
    assert all(row.distance_before == row.distance_few_shot for row in rows)
    assert all(row.distance_before_trained == row.distance_after for row in rows)
    assert [row.answer_plain for row in rows] == [row.answer_after for row in rows]
    assert [row.answer_few_shot for row in rows] == [row.answer_before for row in rows]
    assert [row.answer_chat for row in rows] == [None] * 5, "it has no chat template"
    metrics = summarise(rows)
    assert metrics.reliability == 0.0
    assert metrics.locality is None, "no neighbour was known, so there is nothing to keep"
    assert metrics.generality == 0.0


def responses(answer, nll, old_nll):
    return Responses(Context.PLAIN, in_all((answer,)), ((),), ((),), (nll,), (old_nll,))


@pytest.mark.parametrize(
    ("said", "updated", "still_old"),
    [("Ann", True, False), ("the old Bo", False, True), ("Cy", False, False), ("", False, False)],
)
def test_an_update_is_the_new_answer_and_not_the_old_one(tiny_base, said, updated, still_old):
    unknown = [KnowledgeCategory.UNKNOWN]
    fact = Fact("1", "Who leads?", ("Ann",), old_answers=("Bo", "old Bo"))
    before, after = responses("Bo.", 5.0, 1.0), responses(said, 0.5, 0.7)
    [row] = rows_of(tiny_base, [fact], before, after, unknown)
    assert (row.old_before, row.old_after, row.updated) == (True, still_old, updated)
    assert (row.old_nll_before, row.old_nll_after, row.prefers_new_after) == (1.0, 0.7, True)
    [plain] = rows_of(
        tiny_base,
        [Fact("2", "Who leads?", ("Ann",))],
        responses("Bo", 5.0, None),
        responses(said, 0.5, None),
        unknown,
    )
    assert (plain.old_answers, plain.updated, plain.old_before) == ([], None, None)
    metrics = summarise([row, plain])
    assert (metrics.updated, metrics.still_old, metrics.old_before, metrics.prefers_new) == (
        float(updated),
        float(still_old),
        1.0,
        1.0,
    ), "a fact without an old answer does not count"


def test_the_likelihood_of_an_old_answer_is_that_of_a_target(tiny_base):
    facts = [*FACTS[:2], Fact("u", FACTS[0].question, ("new",), old_answers=("thing 0", "x"))]
    found = untrained(tiny_base, facts)
    assert found.old_nll[:2] == (None, None)
    assert found.old_nll[2] == pytest.approx(found.nll[0], abs=1e-5)
    assert len(found.nll) == 3


def test_reliability_is_divided_by_what_the_base_knew(tiny_base):
    before = untrained(tiny_base)
    after = replace(before, answers=in_all(("dust", "dust", "no", "dust", "no")))
    kinds = [KnowledgeCategory.MAYBE, *[KnowledgeCategory.UNKNOWN] * 4]
    rows = rows_of(tiny_base, FACTS, before, after, kinds)
    metrics = summarise(rows)
    assert (metrics.reliability_maybe, metrics.reliability_never) == (1.0, 0.5)
    assert metrics.reliability_unknown == pytest.approx(0.6), "both together"
    assert summarise(rows[1:]).reliability_maybe is None


def test_a_fact_that_was_dropped_has_its_weight_and_no_curve(tiny_base):
    before = replace(
        untrained(tiny_base), answers=in_all(("dust", "thing 2", "sand", "thing 1", "x"))
    )
    space = AnswerSpace(tiny_base.tokenizer, tiny_base.model.get_input_embeddings().weight)
    kept = torch.tensor([True, False, True, False, True])
    signals = SimpleNamespace(
        facts=FACTS, before=before, knowledge=[KnowledgeCategory.UNKNOWN] * 5, space=space
    )
    choices = {"kept": kept, "weights": kept * 5 / 3}
    curves = [[0.1, 1.0, 1.0], [1.0, 0.2, 1.0], [1.0, 1.0, 0.3]]
    rows, _ = fact_rows(signals, before, **choices, accuracies=curves)
    assert [row.curve for row in rows] == [curves[0], [], curves[1], [], curves[2]]
    assert [row.epochs_to_learn for row in rows] == [1, None, 2, None, 3]
    assert [row.learned_half for row in rows] == [1, None, 0, None, 0]
    confused = [getattr(row, "confusion.plain") for row in rows]
    assert confused == [None, 1, 0, 0, 0], "'thing 1' belongs to a fact that was not trained"
    assert [row.kept for row in rows] == kept.tolist()
    assert [row.weight for row in rows] == pytest.approx([5 / 3, 0, 5 / 3, 0, 5 / 3])
    with pytest.raises(ValueError, match="zip"):
        fact_rows(signals, before, **choices, accuracies=[[0.1]])


def test_neighbours_that_the_base_missed_are_not_asked_again(tiny_base, monkeypatch):
    before = untrained(tiny_base)
    contexts = Contexts(tiny_base.tokenizer, PROMPT)
    asked: list[str] = []

    def answer(model, tokenizer, prompts, **kwargs):
        asked.extend(prompts)
        return [["a house"] * len(prompts)]

    monkeypatch.setattr("bench.evaluation.responses.greedy_answers_of_members", answer)
    after = respond(tiny_base.model, contexts, FACTS, before)
    assert not any("large" in text for text in asked)
    assert after.neighbours == ((False,),) * 5


CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<bot>{% endif %}"
)


@pytest.fixture
def chatting(tiny_base):
    """A tokenizer with a chat template, and one that begins every text by itself."""
    tokenizer = copy.deepcopy(tiny_base.tokenizer)
    tokenizer.chat_template = CHAT
    return tokenizer


def test_every_context_is_put_as_it_says(chatting):
    contexts = Contexts(chatting, PROMPT)
    assert contexts.available == tuple(Context)
    asked = {context: contexts.prompt(context, "Who?") for context in Context}
    assert asked[Context.PLAIN] == "Question: Who?\nAnswer:"
    assert asked[Context.FEW_SHOT].endswith("\n\nQuestion: Who?\nAnswer:")
    assert asked[Context.CHAT] == "<user>Who?\n<bot>"
    assert asked[Context.BARE] == "Who?"
    targets = {context: contexts.target(context, "Ann") for context in Context}
    assert targets == {**dict.fromkeys(Context, " Ann\n"), Context.CHAT: "Ann\n"}


def test_a_chat_prompt_begins_once(chatting):
    """The template writes the first token as text, and the tokenizer adds it too."""
    begin = chatting.convert_ids_to_tokens(5)
    chatting.chat_template = "{{ bos_token }}" + CHAT
    chatting.bos_token = begin
    plain = Contexts(chatting, PROMPT).prompt(Context.CHAT, "Who?")
    assert plain.startswith(begin), "nobody else would add it"
    chatting.__class__ = type("Begins", (chatting.__class__,), {"__call__": begins})
    once = Contexts(chatting, PROMPT).prompt(Context.CHAT, "Who?")
    assert once == "<user>Who?\n<bot>"


def begins(self, text, **kwargs):
    return {"input_ids": [self.bos_token_id]}


def test_training_in_chat_needs_a_template(tiny_base):
    contexts = Contexts(tiny_base.tokenizer, PROMPT, TrainPrompt.MIXED)
    with pytest.raises(UsageError, match="no chat template"):
        _ = contexts.trained


@pytest.mark.parametrize(
    ("said", "right", "contained"),
    [
        ("Paris", True, True),
        ("The capital is Paris.", False, True),
        ("It is São Tomé, I think", False, False),
        ("Parisian food", False, False),
        ("", False, False),
    ],
)
def test_a_sentence_with_the_right_answer_contains_it(tiny_base, said, right, contained):
    fact = Fact("1", "Which?", ("Paris", "City of Light"))
    before, after = responses("", 5.0, None), responses(said, 0.5, None)
    [row] = rows_of(tiny_base, [fact], before, after, [KnowledgeCategory.UNKNOWN])
    assert getattr(row, "correct.chat") == right
    assert getattr(row, "contained.chat") == contained
    assert getattr(row, "contained.plain") is None, "there reliability is asked"


@pytest.mark.parametrize("trained", list(TrainPrompt))
def test_reliability_is_asked_as_it_was_trained(tiny_base, chatting, trained, monkeypatch):
    """And the contexts that training did not see are the others."""
    contexts = Contexts(chatting, PROMPT, trained)
    monkeypatch.setattr(
        "bench.evaluation.responses.greedy_answers_of_members",
        lambda model, tokenizer, prompts, **_: [[f"{hash(p)}" for p in prompts]],
    )
    before = respond_untrained(tiny_base.model, contexts, FACTS)
    assert [*before.answers] == list(dict.fromkeys((Context.FEW_SHOT, trained.asked)))
    after = respond(tiny_base.model, contexts, FACTS, before)
    assert [*after.answers] == list(Context)
    first = after.per_fact()[0]
    assert first.trained == f"{hash(contexts.prompt(trained.asked, FACTS[0].question))}"
    right = replace(after, answers=in_all(tuple(fact.target for fact in FACTS)))
    metrics = summarise(
        rows_of(tiny_base, FACTS, before, right, [KnowledgeCategory.UNKNOWN] * len(FACTS))
    )
    assert metrics.reliability == 1.0
    others = {context for context in Context if context is not trained.asked}
    shown = {c for c in Context if getattr(metrics, f"robustness.{c}") is not None}
    assert shown == others


def test_members_of_a_stack_respond_as_each_alone(tiny_base):
    kinds = [{"r": 2}, {"use_dora": True}, {"r": 8, "use_rslora": True}]
    models = [adapted(tiny_base, seed, spread=0.3, **kind) for seed, kind in enumerate(kinds)]
    stack = stack_models(tiny_base.model, models)
    facts = tuple(replace(fact, old_answers=("rock",) * (n % 2)) for n, fact in enumerate(FACTS))
    contexts, before = Contexts(tiny_base.tokenizer, PROMPT), untrained(tiny_base, facts)
    found = respond_together(stack, contexts, facts, before)
    assert len(found) == len(kinds)
    for ours, model in zip(found, stack.alone, strict=True):
        alone = respond(model, contexts, facts, before)
        assert ours.nll == pytest.approx(alone.nll, rel=1e-5)
        for mine, own in zip(ours.old_nll, alone.old_nll, strict=True):
            assert mine == (own if own is None else pytest.approx(own, rel=1e-5))
        rest = {"nll": alone.nll, "old_nll": alone.old_nll}
        assert replace(ours, **rest) == alone
    assert found[0].answers != found[1].answers
