"""What `--forgetting` and `--evaluate` accept: tasks of ours, of lm-eval, `drift` and `none`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tasks.base import TASKS, KnowledgeTask
from tasks.errors import UsageError
from tasks.problems.base import problem_sets, problems_of
from tasks.resolve import resolve_task, split_names

LM_EVAL_PREFIX = "lm_eval:"
NONE = "none"


class ForgettingKind(StrEnum):
    """The kinds of tasks that are measured on the base and on each trained model.

    Sets of problems measure what was learned, `drift` and knowledge what was forgotten, and tasks
    of lm-eval either.
    """

    KNOWLEDGE = "knowledge"
    PROBLEMS = "problems"
    LM_EVAL = "lm_eval"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class ForgettingName:
    """The name of one forgetting task.

    Attributes:
        kind: The kind of task.
        name: The knowledge task as written (`elements`, a path), the name in lm-eval without the
            prefix (`piqa`), a set of problems (`gsm8k`), or `drift`.
    """

    kind: ForgettingKind
    name: str

    def __str__(self) -> str:
        return f"{LM_EVAL_PREFIX}{self.name}" if self.kind is ForgettingKind.LM_EVAL else self.name


def parse_forgetting(text: str) -> tuple[ForgettingName, ...]:
    """Return the forgetting tasks in a list, see `forgetting_names`."""
    return forgetting_names(split_names(text))


def forgetting_names(written: Sequence[str]) -> tuple[ForgettingName, ...]:
    """Return forgetting tasks in order and without repetitions; `none` alone is empty.

    Names of lm-eval's own tasks are not checked, because that needs lm-eval.

    Raises:
        UsageError: A knowledge task is unknown or cannot be forgotten, a name is empty, or `none`
            stands beside others.
    """
    if list(written) == [NONE]:
        return ()
    text = ",".join(written)
    if NONE in written:
        raise UsageError(f"--forgetting '{text}': 'none' cannot be combined with other tasks")
    return tuple(dict.fromkeys(_name(piece, text) for piece in written))


def evaluation_names(written: Sequence[str]) -> tuple[ForgettingName, ...]:
    """Return the tasks of `--evaluate` in order and without repetitions; `none` alone is empty.

    Raises:
        UsageError: A name is none of a set of problems and does not begin with `lm_eval:`, or
            `none` stands beside others.
    """
    if list(written) == [NONE]:
        return ()
    if NONE in written:
        text = ",".join(written)
        raise UsageError(f"--evaluate '{text}': 'none' cannot be combined with other tasks")
    return tuple(dict.fromkeys(map(_evaluation_name, written)))


def _evaluation_name(written: str) -> ForgettingName:
    name = written.removeprefix(LM_EVAL_PREFIX)
    if name and name != written:
        return ForgettingName(ForgettingKind.LM_EVAL, name)
    if written in problem_sets():
        return ForgettingName(ForgettingKind.PROBLEMS, problems_of(written).name)
    known = ", ".join(problem_sets())
    raise UsageError(
        f"--evaluate '{written}': write {known} or lm_eval:NAME; facts that are trained are asked "
        "without it"
    )


def knowledge_names(names: Sequence[ForgettingName]) -> tuple[str, ...]:
    """Return the names of the knowledge tasks among forgetting tasks."""
    return tuple(name.name for name in names if name.kind is ForgettingKind.KNOWLEDGE)


def refuse_held_out(task: KnowledgeTask) -> None:
    """Refuse to measure forgetting by a task that has nothing to forget.

    Raises:
        UsageError: It is a skill or a text, which only training makes a model know.
    """
    if task.held_out:
        raise UsageError(
            f"'{task.name}' is learned and not measured as forgotten: its questions are for models "
            "that were trained on it; name a knowledge task, lm_eval:NAME or drift"
        )


def _name(written: str, text: str) -> ForgettingName:
    if not written or written == LM_EVAL_PREFIX:
        raise UsageError(
            f"--forgetting '{text}' has an empty name: write a knowledge task, lm_eval:NAME, "
            "drift or none"
        )
    if written == ForgettingKind.DRIFT:
        return ForgettingName(ForgettingKind.DRIFT, written)
    if written.startswith(LM_EVAL_PREFIX):
        return ForgettingName(ForgettingKind.LM_EVAL, written.removeprefix(LM_EVAL_PREFIX))
    if written in problem_sets() and written not in TASKS:
        raise UsageError(
            f"--forgetting '{written}': {written} measures what is learned; write --evaluate "
            f"{written}, or {LM_EVAL_PREFIX}NAME for a task of lm-eval"
        )
    refuse_held_out(resolve_task(written, trained=False, forgotten=True))
    return ForgettingName(ForgettingKind.KNOWLEDGE, written)
