"""The written form of parts: `name[key=value,...]`, in lists split by commas outside brackets.

A part is a frozen dataclass whose fields are its parameters; their types and defaults are read
from there and nowhere else.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any, Literal, TypeVar

from tasks.errors import UsageError, nearest

P = TypeVar("P")

_PART = re.compile(r"(?P<name>[^\[\]+,=\s]+)(?:\[(?P<parameters>[^\[\]]*)\])?")


def split_outside_brackets(text: str, separator: str) -> list[str]:
    """Split `text` at `separator` where it stands outside `[...]`; pieces are stripped."""
    pieces, depth, current = [], 0, ""
    for character in text:
        depth += (character == "[") - (character == "]")
        if depth not in (0, 1):
            raise UsageError(f"unbalanced brackets in '{text}': write name[key=value,key=value]")
        if character == separator and depth == 0:
            pieces.append(current.strip())
            current = ""
        else:
            current += character
    if depth:
        raise UsageError(f"unbalanced brackets in '{text}': write name[key=value,key=value]")
    return [*pieces, current.strip()]


def parse_part(text: str) -> tuple[str, dict[str, str]]:
    """Read `name[key=value,...]` into its name and its parameters as written."""
    match = _PART.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"cannot read '{text}': write name or name[key=value,key=value]")
    parameters: dict[str, str] = {}
    for pair in filter(None, (p.strip() for p in (match["parameters"] or "").split(","))):
        key, equals, value = (piece.strip() for piece in pair.partition("="))
        if not equals or not key or not value:
            raise UsageError(f"cannot read '{pair}' in '{text}': write key=value")
        if key in parameters:
            raise UsageError(f"parameter '{key}' is given twice in '{text}'")
        parameters[key] = value
    return match["name"], parameters


def parameters_of(part: type[Any]) -> dict[str, tuple[Any, Any]]:
    """Return `{name: (type, default)}` of a part's parameters; required ones have MISSING."""
    hints = typing.get_type_hints(part)
    return {f.name: (hints[f.name], f.default) for f in dataclasses.fields(part) if f.init}


def build_part(part: type[P], name: str, written: dict[str, str]) -> P:
    """Make a part from parameters as written, converting each to its field's type.

    Raises:
        UsageError: An unknown parameter, a missing one, or a value of the wrong type.
    """
    known = parameters_of(part)
    for key in written:
        if key not in known:
            close = nearest(key, known)
            hint = f"did you mean {' or '.join(close)}?" if close else f"it takes {_names(known)}"
            raise UsageError(f"'{name}' has no parameter '{key}': {hint}")
    for key, (_, default) in known.items():
        if default is dataclasses.MISSING and key not in written:
            raise UsageError(f"'{name}' needs {key}=...: write {name}[{key}=VALUE]")
    values = {key: _convert(value, known[key][0], name, key) for key, value in written.items()}
    try:
        return part(**values)
    except ValueError as error:
        raise UsageError(f"'{name}': {error}") from error


def change_part(part: P, name: str, written: Mapping[str, str]) -> P:
    """Return a part with other values of those parameters that it has.

    Args:
        part: The part.
        name: Its name, for errors.
        written: Values as written, by name; names that the part does not have are left alone.

    Raises:
        UsageError: A value of the wrong type, or one that the part refuses.
    """
    known = parameters_of(type(part))
    kept = {key: value for key, value in written.items() if key in known}
    values = {key: _convert(value, known[key][0], name, key) for key, value in kept.items()}
    try:
        return dataclasses.replace(part, **values)  # type: ignore[type-var]
    except ValueError as error:
        raise UsageError(f"'{name}': {error}") from error


def canonical(part: Any, name: str, *, defaults: bool, without: Collection[str] = ()) -> str:
    """Write a part back.

    Args:
        part: The part.
        name: Its name.
        defaults: Whether to write every parameter; else those that differ from their default.
        without: Parameters to leave out.
    """
    pairs = [
        f"{key}={format_value(getattr(part, key))}"
        for key, (_, default) in sorted(parameters_of(type(part)).items())
        if (defaults or getattr(part, key) != default) and key not in without
    ]
    return f"{name}[{','.join(pairs)}]" if pairs else name


def format_value(value: Any) -> str:
    """Write a parameter's value as the notation reads it."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return str(value.value)
    return repr(value) if isinstance(value, float) else str(value)


def type_name(kind: Any) -> str:
    """Name a parameter's type for people: `int`, `number`, `kpm|ipm`."""
    if typing.get_origin(kind) is Literal:
        return "|".join(str(choice) for choice in typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(member.value) for member in kind)
    if typing.get_args(kind):
        return type_name(next(k for k in typing.get_args(kind) if k is not type(None)))
    return {int: "integer", float: "number", bool: "true|false", str: "text"}.get(kind, str(kind))


def _names(known: dict[str, Any]) -> str:
    return ", ".join(known) or "none"


def _convert(written: str, kind: Any, name: str, key: str) -> Any:
    if typing.get_origin(kind) not in (None, Literal):  # Optional: X | None
        if written == "none":
            return None
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    try:
        if typing.get_origin(kind) is Literal:
            return {str(choice): choice for choice in typing.get_args(kind)}[written]
        if kind is bool:
            return {"true": True, "false": False}[written.lower()]
        return kind(written)
    except (KeyError, ValueError):
        expected = type_name(kind)
        raise UsageError(f"'{name}[{key}={written}]': {key} must be {expected}") from None
