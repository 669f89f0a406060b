"""`--tune NAME=V1,V2` on the command line, and its form in grid files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bench.config.types import once, pieces
from tasks.notation import format_value

_FORM = "write NAME=V1,V2 with two or more values, as in r=8,16"


class Tune(BaseModel):
    """A name and the values to try for it, as written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    values: Annotated[tuple[str, ...], Field(min_length=2)]


def read_tunes(given: Any) -> tuple[Tune, ...]:
    """Read `r=8,16`, a list of such texts, or a mapping of names to values.

    Raises:
        ValueError: The form is wrong, there are fewer than two values, or a name is repeated.
    """
    if isinstance(given, Mapping):
        found = [_tune(str(name), values) for name, values in given.items()]
    else:
        listed = given if isinstance(given, list | tuple) else [given]
        found = [_read(item) for item in listed]
    names = [tune.name for tune in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is given twice: write all its values in one place")
    return tuple(found)


def _read(item: Any) -> Tune:
    if isinstance(item, Tune):
        return item
    if isinstance(item, Mapping) and set(item) == set(Tune.model_fields):
        return _tune(item["name"], item["values"])
    name, equals, values = str(item).partition("=")
    if not equals:
        raise ValueError(_FORM)
    return _tune(name, values)


def _tune(name: str, values: Any) -> Tune:
    written = once(tuple(format_value(value) for value in pieces(values)))
    if not name.strip() or len(written) < 2:
        raise ValueError(_FORM)
    return Tune(name=name.strip(), values=written)


_Value = str | float | bool
_Written = str | list[str] | dict[str, str | list[_Value]]

Tunes = Annotated[tuple[Tune, ...], BeforeValidator(read_tunes, json_schema_input_type=_Written)]
