"""What a grid file assumes of models and data, for a plan where neither is at hand."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from bench.config.grid_file import GridFile
from bench.config.wrong_values import first_wrong
from tasks.errors import UsageError

SECTION = "assumed"
"""The name of the section of a grid file."""


class Assumed(BaseModel):
    """The section `assumed` of a grid file.

    Attributes:
        models: By name the configuration of a model, as in its `config.json`; `model_type` says
            which architecture of transformers it is.
        rows: By task how many rows it has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    rows: dict[str, PositiveInt] = Field(default_factory=dict)


def read_assumed(grid: GridFile) -> Assumed | None:
    """Return what a grid file assumes; None if it has no such section.

    Raises:
        UsageError: The section is not of this form.
    """
    if SECTION not in grid.content:
        return None
    try:
        return Assumed.model_validate(grid.content[SECTION])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = grid.name_at if first["type"] == "extra_forbidden" else grid.value_at
        place = at(SECTION, *first["loc"])
        raise UsageError(f"{place}: {first_wrong(error, Assumed, SECTION)}") from error
