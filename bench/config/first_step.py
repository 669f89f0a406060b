"""`--after TASK[:MODE[:RECIPE]]`: what is trained before the grid's own cells."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from methods.two_steps.mode import StepMode
from tasks.errors import nearest
from tasks.forgetting.names import NONE
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


def read_first_step(given: Any) -> FirstStep | None:
    """Read `TASK[:MODE[:RECIPE]]`; `none` is no first step.

    A colon in the name of a file or folder that exists belongs to its name, as in `C:/a.txt`.

    Raises:
        ValueError: The form is wrong, or there is no such mode.
        UsageError: Brackets are unbalanced.
    """
    if given is None or isinstance(given, FirstStep):
        return given
    if (text := str(given).strip()) == NONE:
        return None
    pieces = _pieces(text)
    if not 1 <= len(pieces) <= 3 or not all(pieces):
        raise ValueError(_FORM)
    task, mode, recipe = (*pieces, *(StepMode.FROZEN, _DEFAULT_RECIPE)[len(pieces) - 1 :])
    if mode not in list(StepMode):
        close = nearest(mode, list(StepMode))
        raise ValueError(f"did you mean {' or '.join(close)}? {_FORM}" if close else _FORM)
    return FirstStep(task=task, mode=StepMode(mode), recipe=recipe)


def _pieces(text: str) -> list[str]:
    """Split a text at its colons, but for those in the name of a file that exists."""
    pieces = split_outside_brackets(text, ":")
    # The longest name wins: `a:merged` is one file even if there is a file `a`.
    for size in range(len(pieces), 1, -1):
        found = re.match(r"\s*:\s*".join(map(re.escape, pieces[:size])), text)
        if found and _is_there(found.group()):
            return [found.group(), *pieces[size:]]
    return pieces


def _is_there(name: str) -> bool:
    """Return whether there is such a file or folder, parameters in brackets left aside."""
    names = (name, re.sub(r"\[[^\[\]]*\]$", "", name))
    return any(Path(each).expanduser().exists() for each in names)


After = Annotated[
    FirstStep | None,
    BeforeValidator(read_first_step, json_schema_input_type=str | None),
    PlainSerializer(lambda step: None if step is None else str(step), str | None),
]
