"""What commands are made of: hints, interruptions, exit statuses; nothing slow to import."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Any, ClassVar, NoReturn, TypedDict

import click

from tasks.errors import UsageError, nearest

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""


class Deferred(click.Command):
    """Stands for a command in a group's help; its module is imported when it is called.

    Args:
        name: As it is typed.
        place: Where the command is: `bench.cli.run:run`.
        about: The first line of its own help.
    """

    def __init__(self, name: str, place: str, about: str) -> None:
        super().__init__(name, short_help=about)
        self._place = place

    def load(self) -> click.Command:
        """Return the command itself."""
        module, _, attribute = self._place.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


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
            name, command, rest = super().resolve_command(ctx, args)
            return name, command.load() if isinstance(command, Deferred) else command, rest
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
