"""`python -m bench init`: five questions, and a grid file from the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bench.cli.common import command_line
from tasks.errors import UsageError

METHOD_SETS: Mapping[str, str] = {
    "common": "lora,dora,pissa,corda",
    "starts": "lora,pissa,milora,olora,corda,sc_lora,lora_null,eva",
    "gradients": "lora,lora_ga,lora_one",
    "semantic": "lora,lora+freeze,lora+filter,lora+reweight",
    "with-full": "lora,dora,full",
}
"""Methods that are often compared, by a name that stands for them."""

EFFORTS: Mapping[str, Mapping[str, Any]] = {
    "quick": {"seeds": "0", "limit": 16},
    "usual": {"seeds": "0-2"},
    "thorough": {"seeds": "0-4", "checkpoints": "all"},
}
"""What stands for one look, for differences that are tested, and for closer ones."""


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        option: What it decides.
        text: The question.
        hints: Lines above it.
        default: The answer of a person who types nothing.
        meaning: Returns the options that an answer stands for.
    """

    option: str
    text: str
    hints: tuple[str, ...]
    default: str
    meaning: Callable[[str], Mapping[str, Any]]


QUESTIONS = (
    Question(
        "tasks",
        "What should the model learn?",
        (
            "A task such as countries, fictional or arithmetic, or a file of your own: facts",
            "(.csv, .json, .jsonl) or texts (.txt, .md, a folder).",
        ),
        "countries",
        lambda answer: {"tasks": answer},
    ),
    Question(
        "models",
        "Which model?",
        (
            "smollm2-135m and gemma3-270m need no hub; or a hub id such as Qwen/Qwen3-0.6B, or a",
            "folder.",
        ),
        "smollm2-135m",
        lambda answer: {"models": answer},
    ),
    Question(
        "methods",
        "Which methods?",
        (
            "Methods separated by commas, or one of these sets:",
            *(f"  {name}: {methods.replace(',', ', ')}" for name, methods in METHOD_SETS.items()),
        ),
        "common",
        lambda answer: {"methods": METHOD_SETS.get(answer, answer)},
    ),
    Question(
        "forgetting",
        "What must not be forgotten?",
        ("Tasks of facts, lm_eval:NAME, drift (how far answers move at all), or none.",),
        "elements,drift",
        lambda answer: {"forgetting": answer},
    ),
    Question(
        "seeds",
        "How thorough?",
        (
            "quick: one seed and 16 facts, which decides nothing; usual: three seeds;",
            "thorough: five, and forgetting after every epoch; or seeds such as 0-9.",
        ),
        "usual",
        lambda answer: EFFORTS.get(answer, {"seeds": answer}),
    ),
)


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("grid.yaml"))
@click.option("--yes", is_flag=True, help="Ask nothing and take the default answers.")
def init(path: Path, yes: bool) -> None:
    """Ask five questions and write a grid file, with comments, for run --config.

    PATH is the file, or the folder of a file grid.yaml.  [default: grid.yaml]
    """
    path = path / "grid.yaml" if path.is_dir() else path
    if path.exists():
        if yes:
            raise UsageError(f"'{path}' exists: give another file, or leave out --yes to be asked")
        click.confirm(f"{path} exists. Write it anew?", abort=True)
    chosen: dict[str, Any] = {}
    for question in QUESTIONS:
        chosen |= _checked(question, question.default, chosen) if yes else _ask(question, chosen)

    from bench.cli.grid_template import write_grid

    write_grid(path, chosen)
    click.echo(f"wrote {path}")
    click.echo(f"what it will take: {command_line('plan', '--config', str(path))}")
    click.echo(f"run it:            {command_line('run', '--config', str(path))}")


def _ask(question: Question, earlier: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask until the answer is right; what is wrong is said as a run would say it."""

    def check(answer: str) -> Mapping[str, Any]:
        try:
            return _checked(question, answer, earlier)
        except UsageError as error:
            raise click.UsageError(str(error)) from error

    click.echo()
    for line in question.hints:
        click.echo(line)
    found: Mapping[str, Any] = click.prompt(
        question.text, default=question.default, value_proc=check, prompt_suffix=" "
    )
    return found


def _checked(question: Question, answer: str, earlier: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options that an answer stands for.

    Raises:
        UsageError: A run with these and the earlier options would not begin.
    """
    from bench.execution.checks import checked_options

    meant = question.meaning(answer.strip())
    checked_options({**earlier, **meant})
    return meant
