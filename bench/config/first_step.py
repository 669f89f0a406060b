"""`--after TASK[:MODE[:RECIPE]]`: what is trained before the grid's own cells."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from methods.two_steps.mode import StepMode
from tasks.errors import nearest
from tasks.notation import split_outside_brackets

_FORM = f"write TASK, TASK:MODE or TASK:MODE:RECIPE with MODE one of {', '.join(StepMode)}"
_DEFAULT_RECIPE = "lora"


class FirstStep(BaseModel):
    """A first step, as written.

    Attributes:
        task: What it trains: a task's name or a file.
        mode: How the second step starts from it.
        recipe: How it is trained.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Annotated[str, Field(min_length=1)]
    mode: StepMode = StepMode.FROZEN
    recipe: Annotated[str, Field(min_length=1)] = _DEFAULT_RECIPE

    def __str__(self) -> str:
        return f"{self.task}:{self.mode}:{self.recipe}"


def read_first_step(given: Any) -> FirstStep:
    """Read `TASK[:MODE[:RECIPE]]`.

    Raises:
        ValueError: The form is wrong, or there is no such mode.
        UsageError: Brackets are unbalanced.
    """
    if isinstance(given, FirstStep):
        return given
    pieces = split_outside_brackets(str(given), ":")
    if not 1 <= len(pieces) <= 3 or not all(pieces):
        raise ValueError(_FORM)
    task, mode, recipe = (*pieces, *(StepMode.FROZEN, _DEFAULT_RECIPE)[len(pieces) - 1 :])
    if mode not in list(StepMode):
        close = nearest(mode, list(StepMode))
        raise ValueError(f"did you mean {' or '.join(close)}? {_FORM}" if close else _FORM)
    return FirstStep(task=task, mode=StepMode(mode), recipe=recipe)


After = Annotated[FirstStep, BeforeValidator(read_first_step), PlainSerializer(str, str)]
