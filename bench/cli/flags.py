"""Command-line options made from the fields of a pydantic model."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from bench.cli.completion import complete
from bench.config.options import RunOptions, flag, holds_several

_UNSET = {
    "lr": "the adapter's own",
    "cuts": "spread over the layers",
    "ray_address": "start one here, stop it afterwards",
    "reference": "lora, if present",
}
"""What the help says of options that have no default value."""

out_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=RunOptions.model_fields["out"].default,
    show_default=True,
    metavar="FOLDER",
    help="Results folder.",
)
"""`--out` of the commands that read a results folder."""


def options_of(kind: type[BaseModel]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds one option for each field of `kind`, in order."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(kind.model_fields):
            command = _option(kind, name)(command)
        return command

    return add


def _option(kind: type[BaseModel], name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    field = kind.model_fields[name]
    about = f"{field.description}  [default: {_written(name, field.default)}]"
    if field.annotation is bool:
        return click.option(f"{flag(name)}/--no-{flag(name)[2:]}", default=None, help=about)
    # Values are checked by `kind`, which also checks those of a file.
    return click.option(
        flag(name),
        name,
        multiple=holds_several(kind, name),
        default=None,
        metavar="VALUE",
        help=about,
        shell_complete=lambda context, parameter, typed: complete(
            name, _choices(kind, name), typed
        ),
    )


def _choices(kind: type[BaseModel], name: str) -> tuple[str, ...]:
    """Return the values of an option that has no others."""
    choices = kind.model_fields[name].annotation
    if isinstance(choices, type) and issubclass(choices, StrEnum):
        return tuple(choices)
    return ()


def _written(name: str, default: Any) -> str:
    if isinstance(default, tuple) and default:
        return ",".join(str(value) for value in default)
    if isinstance(default, bool):
        return "on" if default else "off"
    return str(default) if default not in (None, ()) else _UNSET.get(name, "none")


def typed_values(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were typed."""
    return {name: value for name, value in given.items() if value not in ((), None)}
