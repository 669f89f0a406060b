"""`semantic-peft-bench completion SHELL`: what completes options and names in a shell.

A shell starts the program for each press of the tabulator, so nothing here imports torch.
"""

from __future__ import annotations

import re

import click
from click.shell_completion import CompletionItem, get_completion_class

PROGRAM = "semantic-peft-bench"
"""Completed by this name only: a shell completes `python` itself for `python -m bench`."""

VARIABLE = "_SEMANTIC_PEFT_BENCH_COMPLETE"
"""The environment variable by which click is asked for completions of `PROGRAM`."""

_PATHS = {"data_dir": "dir", "out": "dir", "questions": "file"}
_RECIPES = ("methods", "reference")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands, options and names in bash, zsh or fish."""
    from bench.cli import commands

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(commands, {}, PROGRAM, VARIABLE).source())


def complete(option: str, choices: tuple[str, ...], incomplete: str) -> list[CompletionItem]:
    """Return what a value may become: names of a list one by one, and parts of a recipe.

    Args:
        option: The name of the option's field.
        choices: Its values, where there are no others.
        incomplete: What was typed of the value.
    """
    if option in _PATHS:
        return [CompletionItem(incomplete, type=_PATHS[option])]
    ends = "[,+]" if option in _RECIPES else ","
    typed = re.split(rf"{ends}(?![^\[]*\])", incomplete)[-1]
    begin = incomplete[: len(incomplete) - len(typed)]
    names = [name for name in choices or _names(option) if name.startswith(typed)]
    if not names and option in ("tasks", "models", "forgetting", "after"):
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(begin + name) for name in names]


def _names(option: str) -> list[str]:
    from bench.cli.names import known_names

    same = {"after": "tasks", "reference": "methods", "method": "methods", "model": "models"}
    same["task"] = "tasks"
    return known_names(same.get(option, option))
