"""What is wrong with a value in a file that a person wrote, in plain words.

pydantic's own texts are for programmers: "Extra inputs are not permitted".
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ValidationError

from tasks.errors import nearest

_RIGHT = {
    "missing": "is missing",
    "dict_type": "must be names with values, as in 'name: value'",
    "model_type": "must be names with values, as in 'name: value'",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
}


def first_wrong(error: ValidationError, kind: type[BaseModel], within: str = "") -> str:
    """Return where the first wrong value is, and what would be right: `rows.a: must be ...`.

    Args:
        error: What pydantic found.
        kind: What was read, whose names are suggested for one that it does not have.
        within: The section of the file that was read, if it was not all of it.
    """
    first = error.errors(include_url=False)[0]
    parts = [within] if within else []
    place = ".".join([*parts, *map(str, first["loc"])])
    where = f"{place}: " if place else ""
    if first["type"] == "extra_forbidden":
        return f"{where}unknown name{_hint(str(first['loc'][-1]), kind, len(first['loc']))}"
    right = _RIGHT.get(first["type"]) or first["msg"].replace("Input should be", "must be")
    found = "" if first["type"] == "missing" else f", found {_short(first['input'])}"
    return f"{where}{right}{found}"


def _hint(name: str, kind: type[BaseModel], depth: int) -> str:
    if depth > 1:  # of a part within, whose names are not known here
        return ": leave it out"
    names: Iterable[str] = kind.model_fields
    return f": write {' or '.join(nearest(name, names) or names)}"


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return f"'{text[:40]}{'...' if len(text) > 40 else ''}'"
