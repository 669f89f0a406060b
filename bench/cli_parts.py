"""What commands are made of: options from a model's fields, hints, interruptions, exit statuses."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar, NoReturn, TypedDict

import click
from pydantic import BaseModel

from bench.options import RunOptions, flag, holds_several
from tasks.errors import UsageError, nearest

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""

_UNSET = {
    "lr": "the adapter's own",
    "cuts": "spread over the layers",
    "reference": "lora, where it is present",
}
"""What options without a default mean where they are not given."""


class Commands(click.Group):
    """Commands; a first word that is none gets a hint at what was meant."""

    kind: ClassVar[str] = "command"
    further: ClassVar[str] = " (a method is given as run --methods {})"

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command by the first word; an unknown one is a `UsageError`."""
        given = args[0]
        if given.startswith("-") or given in self.commands:
            return super().resolve_command(ctx, args)
        close = nearest(given, self.commands)
        hint = f"did you mean {' or '.join(close)}?" if close else ", ".join(self.commands)
        raise UsageError(f"unknown {self.kind} '{given}': {hint}{self.further.format(given)}")


class OptionsOnly(click.Command):
    """A command of options; a stray word gets a hint at the option it may belong to."""

    allow_extra_args = True

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command unless a word is left over, which is a `UsageError`."""
        if ctx.args:
            raise UsageError(
                f"'{ctx.args[0]}' belongs to no option: write values with commas and no spaces, "
                "as in --methods lora,corda"
            )
        return super().invoke(ctx)


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
    if isinstance(default, tuple):
        return ",".join(str(value) for value in default)
    if isinstance(default, bool):
        return "on" if default else "off"
    return str(default) if default is not None else _UNSET.get(name, "none")


def typed_values(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were typed."""
    return {name: value for name, value in given.items() if value not in ((), None)}


def check_names(options: RunOptions) -> None:
    """Check every name and folder of a run without importing torch.

    Raises:
        UsageError: An unknown method, part, parameter, task, model or reference, or a missing
            folder.
    """
    from bench.models import resolve_model
    from bench.reference import run_reference
    from methods.recipe import parse_recipes
    from tasks.forgetting.names import knowledge_names, parse_forgetting
    from tasks.resolve import resolve_task

    parse_recipes(options.methods)
    forgotten = knowledge_names(parse_forgetting(",".join(options.forgetting)))
    for name in options.tasks:
        resolve_task(name, trained=True, forgotten=name in forgotten)
    for name in options.models:
        resolve_model(name)
    run_reference(options)
    if options.data_dir is not None and not options.data_dir.is_dir():
        raise UsageError(f"--data-dir '{options.data_dir}' is no folder")


def interrupt_once() -> None:
    """Let the first Ctrl-C (or SIGTERM) end the run cleanly and a second one end it at once."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, interrupt)


def this_command() -> str:
    """Return the command as it was typed, through nox where it came from there."""
    typed: tuple[str, ...] = click.get_current_context().obj
    if os.environ.get("NOX_CURRENT_SESSION") == "bench":
        options = typed[1:] if typed[0] == "run" else typed
        return shlex.join(["nox", "-s", "bench", *(["--", *options] if options else [])])
    return shlex.join(["python", "-m", "bench", *typed])


class Terminal(TypedDict):
    """How output is written: its width in columns, and whether in colour."""

    width: int
    color: bool


def terminal() -> Terminal:
    """Return how wide the output is (100 columns where it is no terminal), and its colours."""
    width = shutil.get_terminal_size((100, 24)).columns
    return Terminal(width=width, color=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
