"""Mix known facts into the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from methods.parts import strategy
from methods.training_parts import Replay
from methods.turns import in_turn
from tasks.errors import UsageError
from tasks.resolve import resolve_task


@strategy("replay")
@dataclass(frozen=True)
class ReplayKnowledge(Replay):
    """Train a share of other knowledge in each epoch, lest it be forgotten.

    Beside its n facts an epoch trains m = round(n share / (1 - share)) rows, so that they are that
    share of the n + m; there are more steps accordingly. They take turns, in a shuffled order, and
    count as a fact of weight 1. They come from calibration parts, which share no fact with what is
    trained or asked. Ours: **exact** by definition.

    Attributes:
        share: Share of an epoch's rows that is replayed, above 0 and below 1.
        source: `knowledge` replays facts of `tasks`; `task` is the control of equal steps, which
            trains as many of the task's own facts a second time.
        tasks: The knowledge task to replay; `auto` takes the run's forgetting tasks.
    """

    share: float = 0.2
    source: Literal["knowledge", "task"] = "knowledge"
    tasks: str = "auto"

    def check(self) -> None:
        """Refuse a share outside (0, 1), and an unknown task."""
        if not 0 < self.share < 1:
            raise UsageError(
                f"share={self.share:g}: the replayed share must be above 0 and below 1"
            )
        if self.tasks != "auto":
            resolve_task(self.tasks, trained=False, forgotten=False)

    def calibration_tasks(self, forgetting: Sequence[str]) -> tuple[str, ...]:
        """Return the tasks to replay; none for the control."""
        if self.source == "task":
            return ()
        return (tuple(forgetting) or ("elements",)) if self.tasks == "auto" else (self.tasks,)

    def draw(self, facts: int, pool: int, seed: int, epoch: int) -> Sequence[int]:
        """Return the next m of the pool."""
        count = round(facts * self.share / (1 - self.share))
        return in_turn(pool, count, epoch - 1, seed)
