"""Which row of a model's batch each answer follows while a batch is decoded, kept on the host.

Samples that are the same so far share a row, and answers that have ended need none. The members of
a stack have equally many rows, so that one may keep rows that nothing follows any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Following = tuple[int, int]
"""The row of the batch that a new row continues, and its new token."""


class RowTracking:
    """The rows of a batch and the answers that are still running.

    Args:
        prompts: Prompts of the batch, for each member.
        members: Members of the model, whose rows and answers come one after the other.
        samples: Answers per prompt.

    Attributes:
        answers: Number of all answers.
        rows: Number of rows now, a multiple of the members.
        followed: The row that each running answer follows, in the order of the answers.
    """

    def __init__(self, prompts: int, members: int = 1, samples: int = 1) -> None:
        self._members = members
        self.answers = prompts * members * samples
        self.rows = prompts * members
        self.followed = {answer: answer // samples for answer in range(self.answers)}

    @property
    def running(self) -> list[bool]:
        """Whether each answer is still running."""
        return [answer in self.followed for answer in range(self.answers)]

    def chosen_from(self) -> list[int] | None:
        """Return the row of each running answer; None if tokens are chosen for every row as it is.

        That is so if each row has one answer, and for several members, whose rows that nothing
        follows are given a token too.
        """
        rows = list(self.followed.values())
        return None if self._members > 1 or rows == list(range(self.rows)) else rows

    def said(self, tokens: Sequence[int]) -> dict[int, int]:
        """Return the token of each running answer from those chosen for `chosen_from`."""
        if self.chosen_from() is None:
            return {answer: tokens[row] for answer, row in self.followed.items()}
        return dict(zip(self.followed, tokens, strict=True))

    def advance(self, said: Mapping[int, int], ended: Mapping[int, bool]) -> list[Following] | None:
        """Go on to the rows of the next step.

        Args:
            said: The token of each running answer.
            ended: Whether it is the answer's last.

        Returns:
            The rows to run next; None if every row goes on with the token chosen for it.
        """
        before, whole = self.rows, self.chosen_from() is None
        running = {a: (row, said[a]) for a, row in self.followed.items() if not ended[a]}
        per_member = before // self._members
        groups: list[list[Following]] = [[] for _ in range(self._members)]
        for row, token in sorted(set(running.values())):
            groups[row // per_member].append((row, token))
        most = max(map(len, groups))
        if self._members > 1 and most == per_member:
            self.followed = {answer: row for answer, (row, _) in running.items()}
            return None
        for member, group in enumerate(groups):
            spare = group[-1] if group else (member * per_member, 0)
            group += [spare] * (most - len(group))
        following = [each for group in groups for each in group]
        places: dict[Following, int] = {}
        for place, each in enumerate(following):
            places.setdefault(each, place)
        self.rows = len(following)
        self.followed = {answer: places[each] for answer, each in running.items()}
        in_place = [row for row, _ in following] == list(range(before))
        return None if whole and in_place else following
