"""The command line: `python -m bench run | study | list | plan | report | show | export-task`.

Everything that is named is checked before torch is imported, which takes seconds; of the commands
only the one that is called is imported. Exit status: 0 all cells done, 1 some failed, 2 wrong
arguments, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from bench.cli.common import DONE, FAILED, INTERRUPTED, WRONG, Commands, Deferred
from bench.failures import NoSpaceError
from bench.redaction import safe_text
from tasks.errors import UsageError

_COMMANDS = (
    Deferred("run", "bench.cli.run:run", "Run what is missing of a grid; show the leaderboard."),
    Deferred("study", "bench.cli.study:study", "Answer one question with a table and a picture."),
    Deferred(
        "plan",
        "bench.cli.run:plan",
        "Say what is done of a grid, what would run, how long it takes; change nothing.",
    ),
    Deferred(
        "report", "bench.cli.results:report", "Write tables and plots again from the stored cells."
    ),
    Deferred(
        "recommend",
        "bench.cli.recommend:recommend",
        "Say which method to use, and why, in three lines.",
    ),
    Deferred("show", "bench.cli.results:show", "Print one cell with answers before and after."),
    Deferred(
        "export-task",
        "bench.cli.results:export_task",
        "Write a task's forget part as files that lm-eval reads.",
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; wrong input is told in one line."""
    try:
        typed = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
        status = commands.main(
            typed, prog_name="python -m bench", standalone_mode=False, obj=tuple(typed)
        )
    except UsageError as error:
        return _refuse(str(error))
    except NoSpaceError as error:
        _refuse(str(error))
        return FAILED
    except click.ClickException as error:
        return _refuse(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    return status if isinstance(status, int) else DONE


def _refuse(line: str) -> int:
    click.echo(f"error: {safe_text(' '.join(line.split()))}", err=True)
    return WRONG


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Compare fine-tuning methods on facts a language model should learn."""


for _command in _COMMANDS:
    commands.add_command(_command)


@commands.command(name="list")
def list_() -> None:
    """List methods, tasks, models and what may be forgotten."""
    from bench.cli.listing import print_parts

    print_parts()
