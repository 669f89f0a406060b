"""An answer that is trained can come back: tokenised, stopped, within the budget and decoded."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from bench.cell.context import CellContext
from bench.config.options import build_options
from bench.evaluation.round_trip import (
    Asked,
    refuse_unanswerable,
    unanswerable,
)
from bench.inference.contexts import Contexts
from bench.inference.generation import greedy_answers
from bench.models.device import Compute
from bench.planning.grid import plan_grid
from bench.progress.base import Silent
from bench.runner import run_cell
from bench.store.cost_cache import CostCache
from bench.store.records import PhaseName, Status
from bench.store.store import ResultsStore
from tasks.base import DataAccess
from tasks.errors import UsageError
from tasks.fact import Fact, Neighbour
from tasks.form import LONGEST_ANSWER
from tasks.knowledge.countries import Countries
from tasks.knowledge.elements import Elements
from tasks.knowledge.fictional import Fictional
from tasks.prompt import BUILT_IN, Prompt, question_text, token_budget
from tests.conftest import byte_tokenizer

PROMPT = Prompt(BUILT_IN)
BYTES = byte_tokenizer()
WAYS = (Asked(question_text), Asked(PROMPT.few_shot))


def fact(*answers, question="Who opens?", **more):
    return Fact(id=question, question=question, answers=answers, **more)


def lost(tokenizer, *facts, window=None):
    return unanswerable(tokenizer, facts, WAYS, window)


def byte_pairs(*merges, marks=()):
    """A byte-level tokenizer with some merges, written as pairs of printable byte marks."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<eos>", *alphabet, *("".join(pair) for pair in merges)]
    vocabulary = {name: index for index, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    # Without the usual pattern, so that an end of line joins what is before it.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    if marks:
        tokenizer.normalizer = normalizers.Sequence(list(marks))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>", padding_side="left"
    )


def characters(known):
    """A tokenizer that knows some characters and reads all others as `<unk>`."""
    vocabulary = {token: index for index, token in enumerate(["<unk>", "<eos>", *known])}
    tokenizer = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>", pad_token="<eos>"
    )


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), min_size=1).filter(
        str.strip
    )
)
def test_bytes_give_back_every_answer_of_one_line(answer):
    if len(answer.encode()) < LONGEST_ANSWER - 2 and "<eos>" not in answer:
        assert not lost(BYTES, fact(answer.strip()))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Shoes off.\nLights out.", "comes back as 'Shoes off.'"),
        ("the <eos> mark", "comes back as 'the'"),
        ("<eos>", "comes back as ''"),
        ("x" * (LONGEST_ANSWER - 1), f"has {LONGEST_ANSWER + 1} tokens, and at most"),
    ],
)
def test_an_answer_that_ends_early_is_told_with_its_reason(answer, reason):
    [problem] = lost(BYTES, fact("Bo"), fact(answer, question="What then?"))
    assert problem.startswith("'What then?': ")
    assert reason in problem


def test_the_longest_answer_that_can_be_scored_is_accepted(tiny_base):
    answer = "x" * (LONGEST_ANSWER - 2)
    assert not lost(tiny_base.tokenizer, fact(answer))
    assert token_budget(LONGEST_ANSWER) == LONGEST_ANSWER


@pytest.mark.parametrize("answer", ["zoë", "a1", "日本"])
def test_a_character_that_the_tokenizer_does_not_know_is_found(answer):
    tokenizer = characters("abcdefghijklmnopqrstuvwxyz \n?:.QA")
    [problem] = lost(tokenizer, fact(answer))
    assert f"the answer '{answer}' comes back as" in problem
    assert not lost(tokenizer, fact("zoe"))


def test_what_a_tokenizer_changes_counts_only_if_it_changes_the_answer():
    bare = byte_pairs(marks=[normalizers.NFD(), normalizers.StripAccents()])
    lower = byte_pairs(marks=[normalizers.Lowercase()])
    narrow = byte_pairs(marks=[normalizers.Replace("  ", " ")])
    assert lost(bare, fact("Québec"))
    assert not lost(bare, fact("Québec", "Quebec")), "what comes back is accepted too"
    assert not lost(lower, fact("Bo Lint"))
    assert not lost(narrow, fact("Bo  Lint"))


def test_a_stop_that_is_joined_to_the_answer_keeps_what_precedes_it():
    joined = byte_pairs((".", "Ċ"), ("a", "Ċ"))
    assert not lost(joined, fact("It is so."), fact("extra", question="What?"))


def test_a_target_that_begins_with_a_stop_is_refused():
    # The first token of an answer is never a stop, so this one could not be given.
    joined = byte_pairs(("Ġ", "+"), ("Ġ+", "Ċ"))
    [problem] = lost(joined, fact("+"))
    assert "begins with a token that ends it" in problem


def test_other_accepted_answers_need_not_come_back():
    assert not lost(BYTES, fact("Bo", "x" * 500, "two\nlines"))


@pytest.mark.parametrize(
    "more",
    [
        {"question": "why " * 60},
        {"paraphrases": ("why " * 60,)},
        {"neighbours": (Neighbour("why " * 60, ("so",)),)},
        {"old_answers": ("so " * 60,)},
        {"answers": ("Bo", "so " * 60)},
    ],
)
def test_all_that_is_asked_must_fit_the_model(more):
    tokenizer = BYTES
    long, short = replace(fact("Bo"), **more), fact("Bo", question="Who?")
    prompts = max(
        len(tokenizer(PROMPT.few_shot(text))["input_ids"])
        for text in (long.question, *long.paraphrases, *(n.question for n in long.neighbours))
    )
    answers = (*long.answers, *long.old_answers, *(n.answers[0] for n in long.neighbours))
    budget = token_budget(max(len(f" {answer}\n") for answer in answers))
    assert not lost(tokenizer, long, window=prompts + budget)
    [problem] = lost(tokenizer, long, window=prompts + budget - 1)
    assert f"{prompts} tokens and its answer up to {budget}" in problem
    assert f"at most {prompts + budget - 1}" in problem
    if not (long.old_answers or long.answers[1:]):
        assert lost(tokenizer, short, long, window=prompts + budget - 1) == [problem]


def test_an_answer_that_passes_is_given_back_by_a_model_that_learned_it(tiny_base, monkeypatch):
    """The check and generation agree: a model that says the target's tokens is counted right."""
    from bench.inference.encoding import token_ids
    from tasks.prompt import target_text

    for answer in ("Bo Lint", "two\nlines", "a<eos>b", "tail ", "日本"):
        [tokens] = token_ids(tiny_base.tokenizer, [target_text(answer)], special=False)

        def parrot(logits, step, running, tokens=tokens):
            return logits.argmax(-1).fill_(tokens[min(step, len(tokens) - 1)])

        monkeypatch.setattr("bench.inference.generation.greedy", parrot)
        [said] = greedy_answers(tiny_base.model, tiny_base.tokenizer, ["Q:"], budget=32)
        problems = lost(tiny_base.tokenizer, fact(answer))
        assert (said == answer.strip()) == (not problems)
        assert not problems or f"comes back as '{said}'" in problems[0]


def test_facts_are_checked_once_for_all_cells_and_the_line_stays_short(tiny_base, monkeypatch):
    facts = tuple(fact("a\nb", question=f"{'Q' * 500}{n}?") for n in range(50))
    cache = CostCache()
    with pytest.raises(UsageError) as raised:
        refuse_unanswerable(tiny_base, facts, Contexts(tiny_base.tokenizer, PROMPT), cache)
    assert "50 of 50 facts" in str(raised.value)
    assert "and 47 more" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 700
    monkeypatch.setattr("bench.evaluation.round_trip.unanswerable", None)
    with pytest.raises(UsageError, match="50 of 50"):
        refuse_unanswerable(tiny_base, facts, Contexts(tiny_base.tokenizer, PROMPT), cache)


@pytest.fixture
def planned(tiny_folder, tmp_path):
    """Plan the cells of facts in a file."""

    def make(rows, **changes):
        path = tmp_path / "facts.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        options = build_options(
            {
                "methods": "lora[r=4],full",
                "tasks": str(path),
                "models": str(tiny_folder),
                "forgetting": "none",
                "epochs": 1,
                "device": "cpu",
                "out": tmp_path / "out",
                **changes,
            }
        )
        return options, plan_grid(options, ResultsStore(options.out))

    return make


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"question": "How long?", "answer": "x" * 300}, "302 tokens"),
        ({"question": "How? " * 200, "answer": "so"}, "reads at most 1024"),
        ({"question": "What ends it?", "answer": "the <eos> mark"}, "comes back as 'the'"),
    ],
)
def test_nothing_is_trained_on_facts_that_cannot_be_scored(planned, monkeypatch, row, reason):
    options, cells = planned([{"question": "Who?", "answer": "Bo"}, row])
    monkeypatch.setattr("bench.cell.running.train", None)
    context = CellContext(options, Compute("cpu", "float32"), print)
    for cell in cells:
        record = run_cell(cell, context, Silent()).record
        assert record.status is Status.FAILED
        assert "1 of 2 facts" in record.reason
        assert reason in record.reason
        assert PhaseName.TRAIN not in record.phases


def test_a_long_answer_is_trained_and_scored(planned):
    row = {"question": "How does one start the mill?", "answer": "Turn the wheel, " * 10}
    options, [cell] = planned([row], methods="lora[r=4]")
    record = run_cell(cell, CellContext(options, Compute("cpu", "float32"), print), Silent()).record
    assert record.status is Status.DONE, record.reason


@pytest.mark.parametrize("task", [Countries(), Elements(), Fictional(n=200)])
def test_shipped_facts_fit_a_tokenizer_of_bytes(task):
    facts = [f for f in task.load(DataAccess()) if len(f.target.encode()) < LONGEST_ANSWER - 2]
    assert not unanswerable(BYTES, facts, WAYS, 2048)


@pytest.mark.integration
@pytest.mark.parametrize("task", [Countries(), Elements(), Fictional(n=1000)])
def test_shipped_facts_fit_the_embedded_model(embedded_base, task):
    facts = tuple(task.load(DataAccess()))
    refuse_unanswerable(
        embedded_base, facts, Contexts(embedded_base.tokenizer, PROMPT), CostCache()
    )
