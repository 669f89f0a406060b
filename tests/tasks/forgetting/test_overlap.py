from dataclasses import replace

from tasks.fact import Fact
from tasks.forgetting.overlap import without_seen


def fact(identity, question):
    return Fact(identity, question, ("a",))


def test_the_same_question_under_another_name_is_dropped():
    forget = [fact("f1", "What is the capital of France?"), fact("f2", "Who is Ann?")]
    seen = [fact("t9", "what is THE capital of  France ?")]
    found = without_seen(forget, seen)
    assert found.facts == (forget[1],)
    assert found.dropped == 1


def test_a_paraphrase_of_a_trained_fact_is_dropped_too():
    forget = [fact("f1", "Which city is the capital of France?"), fact("f2", "Who is Ann?")]
    seen = [replace(fact("t", "x?"), paraphrases=("“which city is the capital of France”",))]
    assert without_seen(forget, seen).facts == (forget[1],)


def test_without_overlap_all_stay_in_order():
    forget = [fact("f1", "b?"), fact("f2", "a?")]
    assert without_seen(forget, [fact("t", "c?")]).facts == tuple(forget)
    assert without_seen(forget, []).dropped == 0
