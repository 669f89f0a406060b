"""The command line: `python -m bench run | plan | report | recommend | show | study | list | ...`.

Names are checked before torch is imported, which takes seconds, and only the command that is
called is imported. Exit status: 0 all cells done, 1 some failed, 2 wrong arguments,
130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from bench.cli.common import DONE, FAILED, INTERRUPTED, WRONG, Commands, program
from bench.failures import NoSpaceError
from bench.redaction import safe_text
from tasks.errors import UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; an error is one line on standard error."""
    try:
        typed = sys.argv[1:] if arguments is None else list(arguments)
        status = commands.main(typed, prog_name=program(), standalone_mode=False, obj=tuple(typed))
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


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    lazy={
        "run": "bench.cli.run:run",
        "plan": "bench.cli.run:plan",
        "report": "bench.cli.report:report",
        "recommend": "bench.cli.recommend:recommend",
        "show": "bench.cli.show:show",
        "serve": "bench.cli.serve:serve",
        "log": "bench.cli.log:log",
        "study": "bench.cli.study:study",
        "list": "bench.cli.listing:list_parts",  # a module `list` would hide Python's here
        "export-task": "bench.cli.export_task:export_task",
        "init": "bench.cli.init:init",
        "schema": "bench.cli.schema:schema",
        "completion": "bench.cli.completion:completion",
        "card": "bench.cli.publish:card",
        "push": "bench.cli.publish:push",
        "merge": "bench.cli.publish:merge",
        "export-adapter": "bench.cli.publish:export_adapter",
        "export": "bench.cli.export:export",
        "compare": "bench.cli.compare:compare",
        "rescore": "bench.cli.rescore:rescore",
    },
)
def commands() -> None:
    """Compare fine-tuning methods on facts that a language model should learn."""
