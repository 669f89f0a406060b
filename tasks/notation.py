"""How parts are written: `name[key=value,...]`, in lists separated by commas outside brackets.

A part is a frozen dataclass whose fields are its parameters; their types and defaults come from the
dataclass and nowhere else.
"""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any, Literal, TypeVar

from tasks.errors import UsageError, nearest

P = TypeVar("P")

_PART = re.compile(r"(?P<name>[^\[\]+,=\s]+)(?:\[(?P<parameters>[^\[\]]*)\])?")


def split_outside_brackets(text: str, separator: str) -> list[str]:
    """Split `text` at each `separator` outside `[...]`; pieces are stripped of white space."""
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
    """Return the name and the parameters, as written, of `name[key=value,...]`."""
    match = _PART.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"cannot read '{text}': write name or name[key=value,key=value]")
    return match["name"], parse_parameters(match["parameters"] or "", text)


def parse_parameters(inside: str, text: str) -> dict[str, str]:
    """Return the parameters written within the brackets of a text, by their names."""
    parameters: dict[str, str] = {}
    for pair in filter(None, (p.strip() for p in inside.split(","))):
        key, equals, value = (piece.strip() for piece in pair.partition("="))
        if not equals or not key or not value:
            raise UsageError(f"cannot read '{pair}' in '{text}': write key=value")
        if key in parameters:
            raise UsageError(f"parameter '{key}' is given twice in '{text}'")
        parameters[key] = value
    return parameters


def parameters_of(part: type[Any]) -> dict[str, tuple[Any, Any]]:
    """Return `{name: (type, default)}` of a part's parameters; MISSING marks required ones."""
    hints = typing.get_type_hints(part)
    return {f.name: (hints[f.name], f.default) for f in dataclasses.fields(part) if f.init}


def build_part(part: type[P], name: str, written: dict[str, str]) -> P:
    """Return a part with parameters as written, each converted to its field's type.

    Args:
        part: The part's class.
        name: Its name, for errors.
        written: Values as written, by parameter.

    Raises:
        UsageError: A parameter is unknown or missing, or a value has the wrong type.
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
    """Return a part with new values for the parameters that it has.

    Args:
        part: The part.
        name: Its name, for errors.
        written: Values as written, by parameter; those that the part does not have are ignored.

    Raises:
        UsageError: A value has the wrong type, or the part refuses it.
    """
    known = parameters_of(type(part))
    kept = {key: value for key, value in written.items() if key in known}
    values = {key: _convert(value, known[key][0], name, key) for key, value in kept.items()}
    try:
        return dataclasses.replace(part, **values)  # type: ignore[type-var]
    except ValueError as error:
        raise UsageError(f"'{name}': {error}") from error


def canonical(part: Any, name: str, *, defaults: bool, without: Collection[str] = ()) -> str:
    """Return the written form of a part, with its parameters in alphabetical order.

    Args:
        part: The part.
        name: Its name.
        defaults: Whether to write every parameter, or only those that differ from their default.
        without: Parameters to leave out.
    """
    pairs = [
        f"{key}={format_value(getattr(part, key))}"
        for key, (_, default) in sorted(parameters_of(type(part)).items())
        if (defaults or getattr(part, key) != default) and key not in without
    ]
    return f"{name}[{','.join(pairs)}]" if pairs else name


def format_value(value: Any) -> str:
    """Return a parameter's value as it is written on the command line."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return str(value.value)
    return repr(value) if isinstance(value, float) else str(value)


def type_name(kind: Any) -> str:
    """Return a parameter's type as people see it: `integer`, `number`, `kpm|ipm`."""
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
        value = kind(written)
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"'{name}[{key}={written}]': {key} must be a finite number")
        return value
    except (KeyError, ValueError):
        choices = type_name(kind).split("|")
        kinds = {int: "an integer", float: "a number", bool: "true or false"}
        expected = kinds.get(kind, f"one of {', '.join(choices)}")
        raise UsageError(f"'{name}[{key}={written}]': {key} must be {expected}") from None
