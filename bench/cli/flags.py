"""Options of the command line from a model's fields; what is typed, checked without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from bench.config.options import RunOptions, flag, holds_several
from tasks.errors import UsageError

_UNSET = {
    "lr": "the adapter's own",
    "cuts": "spread over the layers",
    "ray_address": "one that is started here and ended afterwards",
    "reference": "lora, where it is present",
}
"""What options without a default mean where they are not given."""

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
    """Return a decorator that adds an option for each field of `kind`, in their order."""

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
    )


def _written(name: str, default: Any) -> str:
    if isinstance(default, tuple) and default:
        return ",".join(str(value) for value in default)
    if isinstance(default, bool):
        return "on" if default else "off"
    return str(default) if default not in (None, ()) else _UNSET.get(name, "none")


def typed_values(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were typed."""
    return {name: value for name, value in given.items() if value not in ((), None)}


def check_names(options: RunOptions) -> None:
    """Check every name and folder of a run without importing torch.

    Raises:
        UsageError: An unknown method, part, parameter, task, model or reference, a missing
            folder, or an executor that is not installed.
    """
    from bench.execution.checks import check_executor
    from bench.models.registry import resolve_model
    from bench.planning.candidates import methods_of
    from bench.planning.reference import run_reference
    from tasks.forgetting.names import knowledge_names, parse_forgetting
    from tasks.resolve import resolve_task

    methods_of(options)
    forgotten = knowledge_names(parse_forgetting(",".join(options.forgetting)))
    for name in options.tasks:
        resolve_task(name, trained=True, forgotten=name in forgotten)
    for name in options.models:
        resolve_model(name)
    run_reference(options)
    if options.data_dir is not None and not options.data_dir.is_dir():
        raise UsageError(f"--data-dir '{options.data_dir}' is no folder")
    check_executor(options)
