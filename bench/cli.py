"""The command line: `python -m bench run | list | plan | report | show | export-task`.

Everything that is named is checked before torch is imported, which takes seconds. Exit status:
0 all cells done, 1 some failed, 2 wrong arguments, 130 interrupted.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict

import click

from bench.options import RunOptions, build_options, flag, holds_several
from tasks.errors import UsageError, nearest

if TYPE_CHECKING:
    from bench.runner import GridOutcome

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; wrong input is told in one line."""
    try:
        typed = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
        status = commands.main(
            typed, prog_name="python -m bench", standalone_mode=False, obj=tuple(typed)
        )
    except UsageError as error:
        return _refuse(str(error))
    except click.ClickException as error:
        return _refuse(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    return status if isinstance(status, int) else DONE


def _refuse(line: str) -> int:
    click.echo(f"error: {' '.join(line.split())}", err=True)
    return WRONG


class _Commands(click.Group):
    """The commands; a first word that is none gets a hint at what was meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        given = args[0]
        if given.startswith("-") or given in self.commands:
            return super().resolve_command(ctx, args)
        close = nearest(given, self.commands)
        hint = f"did you mean {' or '.join(close)}?" if close else ", ".join(self.commands)
        raise UsageError(
            f"unknown command '{given}': {hint} (a method is given as run --methods {given})"
        )


class _OptionsOnly(click.Command):
    """A command of options; a stray word gets a hint at the option it may belong to."""

    allow_extra_args = True

    def invoke(self, ctx: click.Context) -> Any:
        if ctx.args:
            raise UsageError(
                f"'{ctx.args[0]}' belongs to no option: write values with commas and no spaces, "
                "as in --methods lora,corda"
            )
        return super().invoke(ctx)


def _grid_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each field of `RunOptions`, in their order, and `--config`."""
    command = click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="GRID.YAML",
        help="The same options from a file; flags win.",
    )(command)
    for name, field in reversed(RunOptions.model_fields.items()):
        about = f"{field.description}  [default: {_written(name, field.default)}]"
        if field.annotation is bool:
            option = click.option(f"{flag(name)}/--no-{flag(name)[2:]}", default=None, help=about)
        else:
            # Values are checked by RunOptions, which also checks those of a grid file.
            option = click.option(
                flag(name),
                name,
                multiple=holds_several(name),
                default=None,
                metavar="VALUE",
                help=about,
            )
        command = option(command)
    return command


def _written(name: str, default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(str(value) for value in default)
    if isinstance(default, bool):
        return "on" if default else "off"
    return str(default) if default is not None else {"lr": "the adapter's own"}.get(name, "none")


def _given_options(given: dict[str, Any], config: Path | None) -> RunOptions:
    typed = {name: value for name, value in given.items() if value not in ((), None)}
    return build_options(typed, config)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Compare fine-tuning methods on facts a language model should learn."""


@commands.command(cls=_OptionsOnly)
@_grid_options
def run(config: Path | None, **given: Any) -> int:
    """Run what is missing of a grid; show the leaderboard."""
    options = _given_options(given, config)
    check_names(options)
    from bench.store import ResultsStore

    ResultsStore(options.out).ensure_writable()
    _interrupt_once()
    from bench.quiet import quiet_libraries

    quiet_libraries()
    from bench.progress import open_progress
    from bench.runner import run_grid

    with closing(open_progress()) as progress:
        outcome = run_grid(options, progress)
    return _conclude(outcome, options)


@commands.command(cls=_OptionsOnly)
@_grid_options
def plan(config: Path | None, **given: Any) -> None:
    """List a grid's cells: what is done, what would run."""
    options = _given_options(given, config)
    check_names(options)
    from bench.grid import plan_grid
    from bench.listing import print_plan
    from bench.store import ResultsStore

    print_plan(plan_grid(options, ResultsStore(options.out)))


@commands.command(name="list")
def list_() -> None:
    """List methods, tasks, models and what may be forgotten."""
    from bench.listing import print_parts

    print_parts()


_out = click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=RunOptions.model_fields["out"].default,
    show_default=True,
    metavar="FOLDER",
    help="Results folder.",
)


@commands.command()
@_out
def report(out: Path) -> None:
    """Write tables and plots again from the stored cells."""
    _report(out)


@commands.command()
@click.argument("cell")
@_out
def show(cell: str, out: Path) -> None:
    """Print one cell with answers before and after.

    CELL is its id or the start of it.
    """
    from bench.report.show import show_cell

    click.echo(show_cell(out, cell, **_terminal()))


@commands.command(name="export-task")
@click.argument("task")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help=RunOptions.model_fields["data_dir"].description,
)
def export_task(task: str, folder: Path, data_dir: Path | None) -> None:
    """Write a task's forget part as files that lm-eval reads."""
    from bench.forgetting.export import export_task as export

    click.echo(export(task, folder, data_dir))


def check_names(options: RunOptions) -> None:
    """Check every name and folder of a run without importing torch.

    Raises:
        UsageError: An unknown method, part, parameter, task or model, or a missing folder.
    """
    from bench.models import resolve_model
    from methods.recipe import parse_recipes
    from tasks.forgetting.names import knowledge_names, parse_forgetting
    from tasks.resolve import resolve_task

    parse_recipes(options.methods)
    forgotten = knowledge_names(parse_forgetting(",".join(options.forgetting)))
    for name in options.tasks:
        resolve_task(name, trained=True, forgotten=name in forgotten)
    for name in options.models:
        resolve_model(name)
    if options.data_dir is not None and not options.data_dir.is_dir():
        raise UsageError(f"--data-dir '{options.data_dir}' is no folder")


def _interrupt_once() -> None:
    """Let the first Ctrl-C (or SIGTERM) end the run cleanly and a second one end it at once."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, interrupt)


def _conclude(outcome: GridOutcome, options: RunOptions) -> int:
    if outcome.interrupted:
        return _say_how_to_go_on(outcome, options)
    if not outcome.ran:
        click.echo("nothing is missing: every cell of this grid is in the results folder")
    _report(options.out)
    failed = [record for record in outcome.records if record.status != "done"]
    if failed:
        click.echo(
            f"{len(failed)} of {len(outcome.records)} cells did not end well; "
            f"run them again with --rerun failed",
            err=True,
        )
    return FAILED if failed else DONE


def _say_how_to_go_on(outcome: GridOutcome, options: RunOptions) -> int:
    click.echo(
        f"interrupted: {outcome.ran} finished now, {outcome.reused} were done before, all kept in "
        f"{options.out}\ngo on with: {_this_command()}",
        err=True,
    )
    return INTERRUPTED


def _this_command() -> str:
    typed: tuple[str, ...] = click.get_current_context().obj
    if os.environ.get("NOX_CURRENT_SESSION") == "bench":
        options = typed[1:] if typed[0] == "run" else typed
        return shlex.join(["nox", "-s", "bench", *(["--", *options] if options else [])])
    return shlex.join(["python", "-m", "bench", *typed])


def _report(out: Path) -> None:
    """Write the report, print its table and where its files are."""
    from bench.report.terminal import terminal_table
    from bench.report.write import write_report

    files = write_report(out)
    click.echo(terminal_table(files.board, **_terminal()).rstrip())
    click.echo(f"{files.markdown} (and .csv, .html), {len(files.plots)} plots in {out / 'plots'}")


class _Terminal(TypedDict):
    width: int
    color: bool


def _terminal() -> _Terminal:
    """Return how wide the output is (100 columns where it is no terminal), and its colours."""
    width = shutil.get_terminal_size((100, 24)).columns
    return _Terminal(width=width, color=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
