"""How questions and answers are written, and what of an answer counts."""

from __future__ import annotations

import pytest

from tasks.errors import UsageError
from tasks.extraction import extracted
from tasks.fact import Fact, facts_digest
from tasks.form import QUESTIONS, Form
from tasks.prompt import Prompt, fact_text, question_text, target_text

SHOWN = (("What is 1 + 1?", "2"),)
INSTRUCTIONS = Form("### Instruction:\n", "\n\n### Response:", stop="", longest=512)


def test_facts_are_written_as_ever():
    fact = Fact("f", "Who?", ("Me",))
    assert QUESTIONS.question("Who?") == question_text("Who?") == "Question: Who?\nAnswer:"
    assert QUESTIONS.target("Me") == target_text("Me") == " Me\n"
    assert Prompt(SHOWN).text(fact) == fact_text(fact) == "Question: Who?\nAnswer: Me\n"
    assert Prompt(SHOWN).prefix == "Question: What is 1 + 1?\nAnswer: 2\n\n"


def test_another_form_writes_the_same_question_otherwise_and_has_another_digest():
    prompt = Prompt(SHOWN, INSTRUCTIONS)
    assert prompt.few_shot("Add.") == (
        "### Instruction:\nWhat is 1 + 1?\n\n### Response: 2\n\n"
        "### Instruction:\nAdd.\n\n### Response:"
    )
    assert INSTRUCTIONS.target("a\nb") == " a\nb"
    digests = {
        Prompt(SHOWN, form).digest
        for form in (QUESTIONS, INSTRUCTIONS, Form(window=64), Form(longest=300), Form(space=""))
    }
    assert len(digests) == 5


def test_a_text_has_no_prompt_and_is_trained_as_it_is():
    text = Fact("t", "", ("All of it.",))
    assert text.is_text
    assert Prompt(SHOWN).text(text) == "All of it."
    assert QUESTIONS.question("") == ""


def test_only_what_is_extracted_counts():
    fact = Fact("p", "4 + 3?", ("4 + 3 = 7",), extract="result")
    assert fact.accepts("that is 3 + 4 = 7")
    assert not fact.accepts("4 + 3 = 8")
    assert not fact.accepts("7"), "no result was given in the form that was taught"
    assert not fact.accepts("")
    assert Fact("p", "4 + 3?", ("7",)).accepts("7.")


def test_an_answer_without_a_result_is_never_right_even_if_the_accepted_one_has_none():
    assert not Fact("p", "?", ("none",), extract="result").accepts("none")


def test_the_last_result_of_worked_steps_counts():
    assert extracted("result", "2 + 2 = 4; 4 + 1 = 5") == "5"
    assert extracted("result", "no steps") == ""


def test_an_unknown_extractor_is_named():
    with pytest.raises(UsageError, match=r"unknown extractor 'resutl'.*result"):
        extracted("resutl", "=1")


def test_facts_that_extract_nothing_keep_their_digest():
    plain = Fact("p", "4 + 3?", ("4 + 3 = 7",))
    assert facts_digest([plain]) == (
        "7564b464e618757095b9143ad53cb476562b59d0ce1ad0e5c18dd4e5394e4b48"
    )
    assert facts_digest([plain]) != facts_digest([Fact("p", "4 + 3?", plain.answers, extract="r")])
