"""Every answer follows a row that has said what it has said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.inference.row_tracking import RowTracking

STOP = 0


@given(
    prompts=st.integers(1, 4), members=st.integers(1, 3), samples=st.integers(1, 3), data=st.data()
)
def test_rows_and_answers_have_the_same_past(prompts, members, samples, data):
    samples = samples if members == 1 else 1
    tracking = RowTracking(prompts, members, samples)
    rows = [(number,) for number in range(prompts * members)]
    answers = {answer: rows[answer // samples] for answer in range(tracking.answers)}
    for _ in range(5):
        chosen_from = tracking.chosen_from()
        count = len(rows) if chosen_from is None else len(chosen_from)
        tokens = data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
        said = tracking.said(tokens)
        ended = {answer: token == STOP for answer, token in said.items()}
        for answer, token in said.items():
            answers[answer] = (*answers[answer], token)
        if all(ended.values()):
            break
        following = tracking.advance(said, ended)
        if following is None:
            assert chosen_from is None
            rows = [(*row, token) for row, token in zip(rows, tokens, strict=True)]
        else:
            rows = [(*rows[parent], token) for parent, token in following]
        running = [answer for answer in said if not ended[answer]]
        assert [*tracking.followed] == running
        assert all(rows[tracking.followed[answer]] == answers[answer] for answer in running)
        assert tracking.running == [answer in running for answer in answers]

        per_member, left = divmod(len(rows), members)
        assert (tracking.rows, left) == (len(rows), 0)
        first = [row[0] // prompts for row in rows]
        assert first == [member for member in range(members) for _ in range(per_member)]
        needed = [{rows[tracking.followed[a]] for a in running if a // prompts == m}
                  for m in range(members)]  # fmt: skip
        if members == 1:
            assert len(rows) == len(set(rows)), "no row is run twice"
        else:
            assert per_member == max(map(len, needed)), "no more than some member needs"
