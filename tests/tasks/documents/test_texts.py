"""Texts with questions: names, what is trained and asked, and what a text may not show."""

from __future__ import annotations

import json

import pytest

from tasks.base import DataAccess
from tasks.documents.gazetteer import SENTENCES, Gazetteer
from tasks.documents.own_texts import OwnTexts
from tasks.documents.texts import Learn
from tasks.errors import UsageError
from tasks.fact import FactPart
from tasks.forgetting.names import forgetting_names
from tasks.knowledge.countries import Countries
from tasks.leakage import asked_forms
from tasks.prompt import fact_text
from tasks.resolve import resolve_task, with_questions
from tasks.scoring import normalise

ACCESS = DataAccess()


@pytest.fixture
def handbook(tmp_path, monkeypatch):
    """A handbook with a file of questions, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handbook.md").write_text("# Keys\nThe red key hangs in the hall.\n")
    write_questions(tmp_path)
    return tmp_path


def write_questions(folder, question="Where does the red key hang?", **more):
    row = {"question": question, "answer": "in the hall", **more}
    (folder / "q.jsonl").write_text(json.dumps(row))


def named(text):
    return resolve_task(text, trained=True, forgotten=False)


def test_a_path_with_parameters_is_a_text(handbook):
    task = named("handbook.md[questions=q.jsonl,learn=both,window=64]")
    wanted = OwnTexts(path="handbook.md", questions="q.jsonl", learn=Learn.BOTH, window=64)
    assert task == wanted
    assert task.name == "handbook.md[learn=both,questions=q.jsonl,window=64]"
    assert named(task.name) == task
    assert named(str(handbook)).name == str(handbook), "a folder of texts"
    assert named("handbook.md").name == "handbook.md"


def test_the_file_of_questions_becomes_part_of_the_name_of_texts_alone(handbook):
    assert with_questions("handbook.md", "q.jsonl") == "handbook.md[questions=q.jsonl]"
    both = with_questions("handbook.md[learn=both]", "q.jsonl")
    assert both == "handbook.md[learn=both,questions=q.jsonl]"
    assert with_questions(both, "other.jsonl") == both
    assert with_questions("countries", "q.jsonl") == "countries"
    for name in ("a[1].jsonl", "a,1.jsonl"):
        with pytest.raises(UsageError, match="comma or brackets"):
            with_questions("handbook.md", name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("handbok.md", "did you mean handbook.md?"),
        ("handbook.md[learn=all]", "learn must be one of texts, questions, both"),
        ("handbook.md[window=3]", "window=3 must be from 16 to 8192"),
        ("handbook.md[questions=none.csv]", "no file 'none.csv'"),
        ("handbook.md[quest=q.jsonl]", "no parameter 'quest': did you mean questions"),
    ],
)
def test_errors_of_names(handbook, text, said):
    with pytest.raises(UsageError) as caught:
        named(text)
    assert said in str(caught.value)


def test_passages_are_trained_and_questions_asked(handbook):
    task = OwnTexts(path="handbook.md", questions="q.jsonl")
    passage, question = task.load(ACCESS)
    assert passage.is_text
    assert question.target == "in the hall"
    assert OwnTexts(path="handbook.md").load(ACCESS) == (passage,)
    alone = OwnTexts(path="handbook.md", questions="q.jsonl", learn=Learn.QUESTIONS)
    assert alone.load(ACCESS) == (question,)
    assert not alone.held_out


def test_nothing_is_learned_from_questions_that_are_not_given(handbook):
    with pytest.raises(UsageError, match=r"trains questions: name their file with --questions"):
        OwnTexts(path="handbook.md", learn=Learn.BOTH).load(ACCESS)


@pytest.mark.parametrize("learn", Learn)
@pytest.mark.parametrize(
    "asked",
    [
        {"question": "THE RED KEY hangs in the hall?"},
        {"question": "Where?", "paraphrases": ["the red key hangs"]},
    ],
)
def test_a_question_that_stands_in_the_text_is_refused(handbook, learn, asked):
    write_questions(handbook, **asked)
    with pytest.raises(UsageError) as caught:
        OwnTexts(path="handbook.md", questions="q.jsonl", learn=learn).load(ACCESS)
    assert "is asked in the text itself (handbook.md:1)" in str(caught.value)


def test_a_part_of_a_word_is_no_question(handbook):
    write_questions(handbook, question="he red key hang")
    assert OwnTexts(path="handbook.md", questions="q.jsonl").load(ACCESS)


def test_no_passage_of_the_gazetteer_shows_a_question_or_a_trained_form():
    passages, asked = Gazetteer().passages(ACCESS), Gazetteer().asked(ACCESS)
    text = " ".join(normalise(passage.target) for passage in passages)
    assert not [form for form in asked_forms(asked) if form in text]
    assert not [fact.id for fact in asked if fact_text(fact).strip() in text]


def test_each_fact_is_told_once_in_the_passage_of_its_country():
    passages = {passage.subject: passage.target for passage in Gazetteer().passages(ACCESS)}
    asked = Gazetteer().asked(ACCESS)
    assert {fact.relation for fact in asked} == {*SENTENCES}
    for fact in asked:
        assert fact.target in passages[fact.subject]
    relations = {s: sum(f.subject == s for f in asked) for s in passages}
    assert all(text.count(". ") >= relations[s] - 1 for s, text in passages.items())


def test_what_is_told_is_never_in_the_forget_part_of_countries():
    told = {f.subject for f in Gazetteer().load(ACCESS) if Gazetteer().part_of(f) is FactPart.TRAIN}
    countries = Countries()
    forget = {f.subject for f in countries.load(ACCESS) if countries.part_of(f) is FactPart.FORGET}
    assert len(told) > 100
    assert len(forget) > 20
    assert told.isdisjoint(forget)


def test_texts_are_refused_as_forgetting_tasks(handbook):
    for name in ("gazetteer", "gazetteer[learn=both]", "handbook.md"):
        with pytest.raises(UsageError, match="learned and not measured as forgotten"):
            forgetting_names([name])
