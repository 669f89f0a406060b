"""Portability is what a count by hand gives, for one model or a stack."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean
from types import SimpleNamespace

import pytest
import torch

from bench.evaluation.embedding_space import AnswerSpace
from bench.evaluation.fact_rows import fact_rows
from bench.evaluation.metrics import summarise
from bench.evaluation.responses import budget_for, respond, respond_together, respond_untrained
from bench.inference.contexts import Contexts
from bench.inference.generation import greedy_answers
from bench.stacking.model import stack_models
from bench.store.knowledge import KnowledgeCategory
from tasks.context import Context
from tasks.fact import Consequence, ConsequenceKind, Fact, Hop
from tasks.prompt import BUILT_IN, Prompt
from tasks.scoring import exact_match
from tests.bench.stacking.stacks import adapted

MULTI_HOP, ALIAS, INVERSE, LOGICAL = ConsequenceKind
PROMPT = Prompt(BUILT_IN)
LONG = "x" * 12
"""An answer in every fact, so that no budget depends on what the model says."""


def alone(base, question):
    """What a model says to one plain question, asked alone."""
    prompt = f"Question: {question}\nAnswer:"
    [said] = greedy_answers(base.model, base.tokenizer, [prompt], budget=len(LONG) + 6)
    return said


@pytest.fixture
def facts(tiny_base):
    """Facts with right and wrong consequences: a right answer is what the model says anyway."""

    def right(question):
        return (LONG, alone(tiny_base, question))

    wrong = (LONG,)
    hops = (Hop("hop one", right("hop one")), Hop("hop two", right("hop two")))
    missed = (hops[0], Hop("hop three", wrong))
    return (
        Fact(
            "1",
            "one?",
            wrong,
            consequences=(
                Consequence(MULTI_HOP, ("aa", "bb", "cc"), right("cc"), missed),
                Consequence(MULTI_HOP, ("dd", "ee"), wrong, hops),
                Consequence(ALIAS, ("ff",), right("ff")),
                Consequence(INVERSE, ("gg",), wrong),
            ),
        ),
        Fact("2", "two?", wrong),
        Fact("3", "three?", wrong, consequences=(Consequence(INVERSE, ("hh",), right("hh")),)),
        Fact(
            "4",
            "four?",
            wrong,
            consequences=(
                Consequence(MULTI_HOP, ("ii",), right("ii"), needs=("2",)),
                Consequence(MULTI_HOP, ("jj",), right("jj"), needs=("not there",)),
            ),
        ),
    )


def by_hand(base, facts):
    """Count again: {fact: {kind: shares}}, asking each phrasing by itself."""
    ids = {fact.id for fact in facts}
    found = {}
    for fact in facts:
        of_kind = found.setdefault(fact.id, {})
        for one in fact.consequences:
            if set(one.needs) <= ids:
                said = [alone(base, text) for text in one.phrasings]
                right = any(exact_match(text, one.answers) for text in said)
                of_kind.setdefault(one.kind, []).append(right)
    return found


def rows_of(base, facts, left_out=(), *, held_out=False):
    rows, warnings = measured(base, facts, left_out, held_out=held_out)
    assert not warnings
    return rows


def measured(base, facts, left_out=(), *, held_out=False):
    contexts = Contexts(base.tokenizer, PROMPT)
    before = respond_untrained(base.model, contexts, facts)
    after = respond(base.model, contexts, facts, before)
    space = AnswerSpace(base.tokenizer, base.model.get_input_embeddings().weight)
    count = len(facts)
    kept = [fact.id not in left_out and not held_out for fact in facts]
    return fact_rows(
        SimpleNamespace(
            facts=facts,
            before=before,
            knowledge=[KnowledgeCategory.UNKNOWN] * count,
            space=space,
        ),
        after,
        kept=torch.tensor(kept),
        weights=torch.ones(count),
        accuracies=[[0.5, 1.0]] * (count if held_out else sum(kept)),
        held_out=held_out,
    )


def test_scores_are_what_a_count_by_hand_gives(tiny_base, facts):
    assert budget_for(tiny_base.tokenizer, facts) == len(LONG) + 6
    rows, found = rows_of(tiny_base, facts), by_hand(tiny_base, facts)
    flat = {name: [x for kind in kinds.values() for x in kind] for name, kinds in found.items()}
    assert flat == {"1": [True, False, True, False], "2": [], "3": [True], "4": [True]}
    assert [row.portability for row in rows] == [fmean(v) if v else None for v in flat.values()]
    assert [row.portability_before for row in rows] == [row.portability for row in rows]
    for kind in ConsequenceKind:
        shares = [fmean(kinds[kind]) if kind in kinds else None for kinds in found.values()]
        assert [getattr(row, f"portability.{kind}") for row in rows] == shares
    assert [row.all_hops for row in rows] == [0.5, None, None, None]
    metrics = summarise(rows)
    assert metrics.portability == pytest.approx((0.5 + 1 + 1) / 3)
    assert getattr(metrics, "portability.multi_hop") == pytest.approx((0.5 + 1) / 2)
    assert getattr(metrics, "portability.alias") == 1.0
    assert metrics.all_hops == 0.5


def test_a_consequence_counts_only_if_the_facts_that_it_needs_were_trained(tiny_base, facts):
    whole = rows_of(tiny_base, facts)
    assert whole[3].portability == 1.0
    rows, [said] = measured(tiny_base, facts, left_out={"2"})
    assert said.startswith("1 consequence is not counted")
    assert rows[3].portability is None
    assert rows[3].portability_before is None
    assert [row.portability for row in rows[:3]] == [row.portability for row in whole[:3]]
    metrics = summarise(rows)
    assert metrics.portability == pytest.approx((0.5 + 1) / 2)
    # Of facts themselves it stays the other way: what is left out is asked all the same.
    own, none = measured(tiny_base, facts, left_out={"1", "3"})
    assert [row.portability for row in own] == [row.portability for row in whole]
    assert not none


def test_texts_train_what_is_asked_about_them(tiny_base, facts):
    rows = rows_of(tiny_base, facts, held_out=True)
    assert [row.portability for row in rows] == [
        row.portability for row in rows_of(tiny_base, facts)
    ]


def test_facts_without_consequences_are_asked_as_before_and_have_no_value(tiny_base, monkeypatch):
    facts = (Fact("1", "one?", ("a",)), Fact("2", "two?", ("b",), paraphrases=("zwei?",)))
    asked = []
    whole = "bench.evaluation.responses.greedy_answers_of_members"

    def answer(model, tokenizer, prompts, **_):
        asked.append(prompts)
        return [[""] * len(prompts)]

    monkeypatch.setattr(whole, answer)
    contexts = Contexts(tiny_base.tokenizer, PROMPT)
    before = respond_untrained(tiny_base.model, contexts, facts)
    assert before.consequences == ()
    assert sum(map(len, asked)) == 4, "two facts, in two contexts"
    metrics = summarise(rows_of(tiny_base, facts))
    assert metrics.portability is None
    assert metrics.portability_before is None


def test_consequences_are_asked_in_the_batch_of_the_trained_prompt(tiny_base, facts, monkeypatch):
    calls = []

    def answer(model, tokenizer, prompts, **_):
        calls.append(prompts)
        return [[""] * len(prompts)]

    monkeypatch.setattr("bench.evaluation.responses.greedy_answers_of_members", answer)
    contexts = Contexts(tiny_base.tokenizer, PROMPT)
    respond_untrained(tiny_base.model, contexts, facts)
    assert len(calls) == 2
    plain = next(prompts for prompts in calls if prompts[0].startswith("Question: one?"))
    said = {contexts.prompt(Context.PLAIN, text) for text in ("aa", "bb", "hop two", "hh", "ii")}
    assert said <= set(plain)
    assert contexts.prompt(Context.PLAIN, "jj") not in plain, "it needs a fact that is not there"


def test_members_of_a_stack_are_judged_as_each_alone(tiny_base, facts):
    models = [
        adapted(tiny_base, seed, spread=0.3, r=2, target_modules=chosen)
        for seed, chosen in enumerate(["all-linear", ["q_proj", "o_proj"], ["down_proj"]])
    ]
    stack = stack_models(tiny_base.model, models)
    contexts = Contexts(tiny_base.tokenizer, PROMPT)
    before = respond_untrained(tiny_base.model, contexts, facts)
    said = respond(stack.alone[1], contexts, facts, before).answers[Context.PLAIN][0]
    # What the second member says is right of one more question.
    more = replace(facts[1], consequences=(Consequence(ALIAS, ("one?",), (LONG, said)),))
    facts = (facts[0], more, *facts[2:])
    together = respond_together(stack, contexts, facts, before)
    one_by_one = [respond(model, contexts, facts, before) for model in stack.alone]
    assert [one.consequences for one in together] == [one.consequences for one in one_by_one]
    assert together[1].consequences[1][0].right
