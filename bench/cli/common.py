"""What commands are made of: hints, interruptions, exit statuses; nothing slow to import."""

from __future__ import annotations

import ast
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, NoReturn, TypedDict

import click

from bench import ROOT
from tasks.errors import UsageError, nearest

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""


class Commands(click.Group):
    """A group of commands; a first word that is none of them gets a hint at what was meant.

    Args:
        lazy: Where commands stand that are imported only when they are called, by name:
            `bench.cli.run:run`. Help shows the first line of their docstrings, read from the file.
    """

    kind: ClassVar[str] = "command"
    further: ClassVar[str] = " (a method is given as run --methods {})"

    def __init__(self, *args: Any, lazy: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Show the help where no command is named."""
        return super().parse_args(ctx, args or ["--help"])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they were written down."""
        return [*self.lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported now if it is lazy."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, function = self.lazy[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with what it does; lazy ones are not imported for it."""
        rows = [(name, first_line(place)) for name, place in self.lazy.items()]
        rows += [(name, each.get_short_help_str(200)) for name, each in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command by the first word; an unknown one is a `UsageError`."""
        given, names = args[0], self.list_commands(ctx)
        if given.startswith("-") or given in names:
            return super().resolve_command(ctx, args)
        close = nearest(given, names)
        hint = f"did you mean {' or '.join(close)}?" if close else ", ".join(names)
        raise UsageError(f"unknown {self.kind} '{given}': {hint}{self.further.format(given)}")


def first_line(place: str) -> str:
    """Return the first line of a function's docstring without importing its module.

    Args:
        place: `package.module:function`, in the package of this program.
    """
    module, _, function = place.partition(":")
    source = (ROOT / Path(*module.split("."))).with_suffix(".py").read_text(encoding="utf-8")
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    [found] = [node for node in functions if node.name == function]
    return (ast.get_docstring(found) or "").partition("\n")[0]


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
    return f"{program()} {shlex.join(typed)}"


def program() -> str:
    """Return what this program is called by: as installed, or as a module."""
    installed = Path(sys.argv[0]).stem == "semantic-peft-bench"
    return "semantic-peft-bench" if installed else "python -m bench"


class Terminal(TypedDict):
    """How output is written: its width in columns, and whether in colour."""

    width: int
    color: bool


def terminal() -> Terminal:
    """Return how wide the output is (100 columns where it is no terminal), and its colours."""
    width = shutil.get_terminal_size((100, 24)).columns
    return Terminal(width=width, color=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
