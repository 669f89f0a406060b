"""Generated skills: what is asked is never trained, and each problem has one right answer."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import DataAccess
from tasks.errors import UsageError
from tasks.fact import FactPart
from tasks.prompt import choose_demonstrations
from tasks.resolve import resolve_task
from tasks.scoring import normalise
from tasks.selection import part_facts
from tasks.shuffled import Shuffled
from tasks.skills.arithmetic import Pairs, problem, worked
from tasks.skills.dates import MONTHS, ORDINALS

SKILLS = ("arithmetic", "arithmetic[n=3000,levels=2]", "arithmetic[levels=6,seed=1]", "dates")


def loaded(name):
    task = resolve_task(name, trained=True, forgotten=False)
    return task, task.load(DataAccess())


def operands(fact):
    a, b = re.fullmatch(r"(\d+) \+ (\d+)", fact.question).groups()
    return frozenset((int(a), int(b)))


@given(st.integers(1, 300), st.text(max_size=3))
def test_a_shuffle_is_a_permutation(size, key):
    order = Shuffled(size, key)
    assert sorted(order[k] for k in range(len(order))) == list(range(size))


@pytest.mark.parametrize("digits", [1, 2])
def test_each_pair_of_numbers_comes_once_in_either_order(digits):
    pairs = Pairs(digits, seed=0)
    found = {tuple(sorted(pairs[k])) for k in range(len(pairs))}
    numbers = range(10 ** (digits - 1), 10**digits)
    assert found == {(a, b) for a in numbers for b in numbers if a <= b}
    assert {pairs[k][0] < pairs[k][1] for k in range(len(pairs))} == {True, False}


@given(st.integers(1, 9).flatmap(lambda d: st.tuples(*[st.integers(10 ** (d - 1), 10**d - 1)] * 2)))
def test_steps_add_up(pair):
    a, b = pair
    *steps, total = worked(a, b).split(",")
    carried, written = 0, ""
    for step, one, other in zip(steps, reversed(str(a)), reversed(str(b)), strict=True):
        said, result = step.split("=")
        assert said == f"{one}+{other}" + (f"+{carried}" if carried else "")
        assert sum(map(int, said.split("+"))) == int(result)
        carried, written = divmod(int(result), 10)[0], result[-1] + written
    assert total == f"sum={a + b}"
    assert str(a + b) == (str(carried) if carried else "") + written


def test_only_the_sum_counts():
    fact = problem(47, 85)
    assert fact.target == "7+5=12,4+8+1=13,sum=132"
    assert fact.accepts("7+5=12, 4+8=12, sum=132")
    assert fact.accepts("47 + 85 = 132")
    assert not fact.accepts("7+5=12, 4+8+1=13, sum=133")
    assert not fact.accepts("132"), "the number alone is not what is taught"


@pytest.mark.parametrize("name", SKILLS)
def test_nothing_that_is_asked_is_trained_or_shown(name):
    task, facts = loaded(name)
    parts = {part: part_facts(task, facts, part) for part in FactPart}
    assert parts[FactPart.TRAIN]
    assert parts[FactPart.TEST]
    assert not parts[FactPart.FORGET]
    subjects = [{fact.subject for fact in found} for found in parts.values()]
    assert sum(map(len, subjects)) == len(set.union(*subjects))
    assert len({normalise(fact.question) for fact in facts}) == len(facts)
    asked = parts[FactPart.TEST]
    prompt = choose_demonstrations(parts[FactPart.CALIBRATION], asked, task.form)
    shown = {question for question, _ in prompt.demonstrations}
    assert shown <= {fact.question for fact in parts[FactPart.CALIBRATION]}
    levels = {fact.relation for fact in facts}
    by_question = {fact.question: fact.relation for fact in facts}
    assert len({by_question[question] for question in shown}) == min(4, len(levels))


@pytest.mark.parametrize("name", SKILLS[:3])
def test_no_pair_of_operands_of_a_test_is_trained_in_either_order_at_any_level(name):
    task, facts = loaded(name)
    trained, asked = (
        {operands(fact) for fact in part_facts(task, facts, part)}
        for part in (FactPart.TRAIN, FactPart.TEST)
    )
    assert asked
    assert trained.isdisjoint(asked)


def test_the_part_of_a_pair_depends_on_neither_order_size_nor_seed():
    [task, other] = (loaded(name)[0] for name in ("arithmetic", "arithmetic[n=9,seed=3]"))
    for a, b in ((47, 85), (3, 4), (512, 733)):
        assert (
            len({t.part_of(problem(*pair)) for t in (task, other) for pair in ((a, b), (b, a))})
            == 1
        )


@pytest.mark.parametrize("name", ["arithmetic", "dates"])
def test_a_smaller_task_is_the_beginning_of_a_larger_one(name):
    small, large = loaded(f"{name}[n=90]")[1], loaded(f"{name}[n=200]")[1]
    assert large[: len(small)] == small
    assert loaded(f"{name}[n=90,seed=1]")[1] != small


def test_levels_take_turns_until_one_has_no_more():
    _, facts = loaded("arithmetic[n=345,levels=3]")
    assert Counter(fact.relation for fact in facts) == {
        "1 digit": 45,
        "2 digits": 150,
        "3 digits": 150,
    }
    _, facts = loaded("arithmetic[n=45,levels=1]")
    assert len({operands(fact) for fact in facts}) == 45


def test_a_date_is_written_in_digits_and_days_beside_it_are_counted():
    _, facts = loaded("dates[n=4000]")
    shifts = {"day after": 1, "day before": -1}
    pattern = re.compile(
        r"Write (?:the day \w+ |the )?([\w-]+) (?:of )?(\w+) (\d{4}) as an ISO date."
    )
    for fact in facts:
        day, month, year = pattern.fullmatch(fact.question).groups()
        number = int(day) if day.isdigit() else ORDINALS.index(day) + 1
        named = date(int(year), MONTHS.index(month) + 1, number)
        meant = named + timedelta(days=shifts.get(fact.relation, 0))
        assert fact.answers == (meant.isoformat(),)
        assert fact.subject == named.isoformat()
    ends = [fact for fact in facts if fact.target.endswith("-02-29")]
    assert ends, "leap days are among them"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("arithmetic[n=0]", "n=0 must be between 1 and 409590 for levels=3"),
        ("arithmetic[n=46,levels=1]", "n=46 must be between 1 and 45 for levels=1"),
        ("arithmetic[levels=10]", "levels=10 must be between 1 and 9"),
        ("dates[n=80000]", "n=80000 must be between 1 and "),
    ],
)
def test_sizes_that_cannot_be_are_refused(written, told):
    with pytest.raises(UsageError, match=re.escape(told)):
        resolve_task(written, trained=True, forgotten=False)
