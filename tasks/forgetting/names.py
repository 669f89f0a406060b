"""What `--forgetting` may name: a knowledge task's forget part, an lm-eval task, drift, none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tasks.errors import UsageError
from tasks.notation import split_outside_brackets
from tasks.resolve import resolve_task

LM_EVAL_PREFIX = "lm_eval:"
NONE = "none"


class ForgettingKind(StrEnum):
    """Where a forgetting task comes from; a closed set."""

    KNOWLEDGE = "knowledge"
    LM_EVAL = "lm_eval"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class ForgettingName:
    """One forgetting task by name.

    Attributes:
        kind: Where it comes from.
        name: The knowledge task as written (`elements`, a path), lm-eval's own name without the
            prefix (`piqa`), or `drift`.
    """

    kind: ForgettingKind
    name: str

    def __str__(self) -> str:
        return f"{LM_EVAL_PREFIX}{self.name}" if self.kind is ForgettingKind.LM_EVAL else self.name


def parse_forgetting(text: str) -> tuple[ForgettingName, ...]:
    """Read a list of forgetting tasks, in order and without repetitions; `none` is empty.

    Names of lm-eval's own tasks are not checked here: that needs lm-eval.

    Raises:
        UsageError: An unknown knowledge task, an empty name, or `none` beside other names.
    """
    written = split_outside_brackets(text, ",")
    if written == [NONE]:
        return ()
    if NONE in written:
        raise UsageError(f"--forgetting '{text}': 'none' stands alone, without other tasks")
    return tuple(dict.fromkeys(_name(piece, text) for piece in written))


def knowledge_names(names: Sequence[ForgettingName]) -> tuple[str, ...]:
    """Return the knowledge tasks among forgetting tasks, as an adapter's calibration asks."""
    return tuple(name.name for name in names if name.kind is ForgettingKind.KNOWLEDGE)


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
    resolve_task(written, trained=False, forgotten=True)
    return ForgettingName(ForgettingKind.KNOWLEDGE, written)
