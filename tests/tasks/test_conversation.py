"""Conversations as questions: nothing is lost, and demonstrations come between."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tasks.conversation import after_demonstrations, question_of, transcript, turns_of

TURN = st.fixed_dictionaries({"role": st.sampled_from(["system", "user"]), "content": st.text()})


@given(st.lists(TURN, min_size=1, max_size=4))
def test_a_question_gives_its_turns_back(turns):
    assert turns_of(question_of(turns)) == turns


def test_a_single_turn_of_the_user_is_written_as_it_is_unless_it_looks_like_turns():
    assert question_of([{"role": "user", "content": "Hello?"}]) == "Hello?"
    asked = [{"role": "user", "content": question_of([{"role": "system", "content": "x"}])}]
    assert turns_of(question_of(asked)) == asked
    assert turns_of("[1, 2]") == [{"role": "user", "content": "[1, 2]"}]


def test_demonstrations_come_behind_the_question_s_own_system_turn_and_bring_none():
    asked = question_of([{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}])
    shown = question_of([{"role": "system", "content": "T"}, {"role": "user", "content": "P"}])
    found = after_demonstrations(asked, [(shown, "A"), ("R", "B")])
    assert [(turn["role"], turn["content"]) for turn in found] == [
        ("system", "S"),
        ("user", "P"),
        ("assistant", "A"),
        ("user", "R"),
        ("assistant", "B"),
        ("user", "Q"),
    ]
    assert transcript(asked) == "System: S\nUser: Q"
    assert json.loads(asked)[0] == {"role": "system", "content": "S"}
