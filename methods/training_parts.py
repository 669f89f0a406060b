"""Strategies that act on training itself: the order of the facts, what is replayed, a penalty.

They are parts as those of `methods.parts`, with a file of their own each under `methods/strategies`
and at most one of each kind in a recipe. What they decide is a function of the seed and of the
epoch or step alone, so that a training that was stopped goes on with the same decisions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.notes import Notes, Told, note
from methods.parts import Part
from methods.signals import Signals

if TYPE_CHECKING:
    from torch import Tensor, nn

    Term = Callable[[nn.Module, int], Tensor]
    """What a penalty adds to the loss of a step: called with the model in training and the step."""


@dataclass(frozen=True)
class ReplayNotes(Notes):
    """What was trained beside the facts.

    Attributes:
        replayed: How many rows of each epoch were replayed.
        replayed_facts: How many different facts they were in all.
    """

    replayed: int | None = note()
    replayed_facts: int | None = note()

    def told(self, facts: int, kept: int | None) -> Iterator[Told]:
        """Yield how many rows were replayed."""
        if self.replayed is not None:
            each = f"{self.replayed} rows an epoch, of {self.replayed_facts} facts in all"
            yield Told("replayed", each, f"replays {self.replayed} rows an epoch")


class Order(Part, ABC):
    """In which order facts are trained within each epoch."""

    @abstractmethod
    def sequence(self, signals: Signals, kept: Tensor, seed: int, epoch: int) -> Sequence[int]:
        """Return the kept facts in the order in which they are trained.

        Consecutive ones share a batch; the number of batches is that of a training without order.

        Args:
            signals: What the untouched base knows about the facts.
            kept: Which facts are trained, bool `[facts]`.
            seed: The cell's seed.
            epoch: The epoch, counted from 1.

        Returns:
            A permutation of 0 to n - 1, where n is the number of kept facts.
        """


class Replay(Part, ABC):
    """What is trained beside the facts of the task."""

    def calibration_tasks(self, forgetting: Sequence[str]) -> tuple[str, ...]:
        """Return the knowledge tasks whose calibration part is replayed.

        None of them means that the facts that are trained are replayed, as a control does.

        Args:
            forgetting: Names of the knowledge tasks among the run's forgetting tasks.
        """
        return ()

    @abstractmethod
    def draw(self, facts: int, pool: int, seed: int, epoch: int) -> Sequence[int]:
        """Return what is replayed in an epoch, as many in each; a fact may come twice.

        Args:
            facts: How many rows an epoch trains without it.
            pool: How many facts there are to replay.
            seed: The cell's seed.
            epoch: The epoch, counted from 1.

        Returns:
            Indices from 0 to pool - 1.
        """

    def notes(self, rows: int, pool: int) -> Sequence[Notes]:
        """Return notes to record and show about what is replayed.

        Args:
            rows: How many rows each epoch replays.
            pool: How many different facts they are in all.
        """
        return (ReplayNotes(rows, pool),)


class Penalty(Part, ABC):
    """What is added to the loss of each step."""

    @abstractmethod
    def term(self, signals: Signals, seed: int) -> Term | None:
        """Return a function that gives the scalar to add; None if nothing is ever added.

        It is called once per optimizer step, with the model in training and the step counted from
        0, and must not depend on earlier calls.

        Args:
            signals: What the untouched base knows; the term must not change its model.
            seed: The cell's seed.
        """

    def notes(self, signals: Signals) -> Sequence[Notes]:
        """Return notes to record and show about the penalty."""
        return ()
