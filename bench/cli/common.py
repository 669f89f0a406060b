"""What all commands share: hints, interruptions, exit statuses. Nothing here imports slowly."""

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
from typing import Any, NoReturn, TypedDict

import click
from click.shell_completion import CompletionItem

from bench import ROOT
from tasks.errors import UsageError, nearest

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""


class Commands(click.Group):
    """A group that imports a command only when it is called; an unknown name gets a hint.

    Args:
        lazy: The place of each command by its name: `bench.cli.run:run`. The help shows the first
            line of its docstring, which is read from the file.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy or {}

    def described(self) -> dict[str, str]:
        """Return what each command does, by its name."""
        return {name: first_line(place) for name, place in self.lazy.items()}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Show the help if no command is named."""
        return super().parse_args(ctx, args or ["--help"])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of `described`."""
        return list(self.described())

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command and what it does, without importing it."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.described().items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin so, without importing them."""
        described = self.described().items()
        found = [
            CompletionItem(n, help=about) for n, about in described if n.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; of an unknown one nothing can be completed, which is no error then."""
        if ctx.resilient_parsing and args[0] not in self.described():
            return None, None, []
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Import a command.

        Raises:
            UsageError: No command has this name.
        """
        if cmd_name not in self.lazy:
            close = nearest(cmd_name, self.lazy)
            hint = f"did you mean {' or '.join(close)}?" if close else f"use {', '.join(self.lazy)}"
            raise UsageError(
                f"unknown command '{cmd_name}': {hint} "
                f"(to run a method, write run --methods {cmd_name})"
            )
        module, _, function = self.lazy[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), function)
        return command


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
    """A command that takes only options; a stray word is an error with a hint."""

    allow_extra_args = True

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a word that belongs to no option is a `UsageError`."""
        if ctx.args:
            raise UsageError(
                f"'{ctx.args[0]}' belongs to no option: separate values by commas without spaces, "
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
    return command_line(*typed)


def command_line(*words: str) -> str:
    """Return a command as it is typed here, through nox if this one was."""
    if os.environ.get("NOX_CURRENT_SESSION") == "bench":
        options = words[1:] if words[0] == "run" else words
        return shlex.join(["nox", "-s", "bench", *(["--", *options] if options else [])])
    return f"{program()} {shlex.join(words)}"


def program() -> str:
    """Return the name that this program was called by: the installed one, or `python -m bench`."""
    installed = Path(sys.argv[0]).stem == "semantic-peft-bench"
    return "semantic-peft-bench" if installed else "python -m bench"


class Terminal(TypedDict):
    """How output is written: its width in columns, and whether in colour."""

    width: int
    color: bool


def terminal() -> Terminal:
    """Return the width of the output (100 columns unless it is a terminal) and its colours."""
    width = shutil.get_terminal_size((100, 24)).columns
    return Terminal(width=width, color=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
