"""The command line: `python -m bench run | study | list | plan | report | show | export-task`.

Everything that is named is checked before torch is imported, which takes seconds. Exit status:
0 all cells done, 1 some failed, 2 wrong arguments, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli_parts import (
    DONE,
    FAILED,
    INTERRUPTED,
    WRONG,
    Commands,
    OptionsOnly,
    check_names,
    interrupt_once,
    options_of,
    terminal,
    this_command,
    typed_values,
)
from bench.failures import NoSpaceError
from bench.options import RunOptions, build_options
from bench.recommend_cli import recommend
from bench.redaction import for_people
from bench.study_cli import study
from tasks.errors import UsageError

if TYPE_CHECKING:
    from bench.executor import GridOutcome


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
    click.echo(f"error: {for_people(' '.join(line.split()))}", err=True)
    return WRONG


_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="GRID.YAML",
    help="The same options from a file; flags win.",
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Compare fine-tuning methods on facts a language model should learn."""


commands.add_command(study)
commands.add_command(recommend)


_dry_run = click.option(
    "--dry-run", is_flag=True, help="Only say what would run, as the command plan does."
)


@commands.command(cls=OptionsOnly)
@options_of(RunOptions)
@_config
@_dry_run
def run(config: Path | None, dry_run: bool, **given: Any) -> int:
    """Run what is missing of a grid; show the leaderboard."""
    options = build_options(typed_values(given), config)
    check_names(options)
    if dry_run:
        _plan(options)
        return DONE
    from bench.store import ResultsStore

    store = ResultsStore(options.out)
    store.refuse_newer()
    store.ensure_writable()
    interrupt_once()
    from bench.quiet import quiet_libraries

    quiet_libraries()
    from bench.executor import run_grid
    from bench.progress import open_progress

    with closing(open_progress()) as progress:
        outcome = run_grid(options, progress)
    return _conclude(outcome, options)


@commands.command(cls=OptionsOnly)
@options_of(RunOptions)
@_config
def plan(config: Path | None, **given: Any) -> None:
    """Say what is done of a grid, what would run, how long it takes; change nothing."""
    options = build_options(typed_values(given), config)
    check_names(options)
    _plan(options)


def _plan(options: RunOptions) -> None:
    from bench.estimates import grid_cost
    from bench.grid import plan_grid
    from bench.listing import print_plan
    from bench.store import ResultsStore
    from bench.worker_count import worker_count

    store = ResultsStore(options.out)
    store.refuse_newer()
    cells = plan_grid(options, store)
    print_plan(cells, grid_cost(cells, store.summaries()), worker_count(options))


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
@click.option(
    "--reference",
    metavar="METHOD",
    help="The method that others are compared with.  [default: lora, where it is present]",
)
def report(out: Path, reference: str | None) -> None:
    """Write tables and plots again from the stored cells."""
    _report(out, reference)


@commands.command()
@click.argument("cell")
@_out
def show(cell: str, out: Path) -> None:
    """Print one cell with answers before and after.

    CELL is its id or the start of it.
    """
    from bench.report.show import show_cell

    click.echo(show_cell(out, cell, **terminal()))


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


def _conclude(outcome: GridOutcome, options: RunOptions) -> int:
    if outcome.interrupted:
        return _say_how_to_go_on(outcome, options)
    if options.shard and not outcome.records:
        click.echo(f"shard {options.shard} has no cells of this grid")
        return DONE
    if not outcome.ran:
        click.echo("nothing is missing: every cell of this grid is in the results folder")
    _report(options.out, _reference(options))
    failed = [record for record in outcome.records if record.status != "done"]
    if failed:
        click.echo(
            f"{len(failed)} of {len(outcome.records)} cells did not end well; "
            f"run them again with --rerun failed",
            err=True,
        )
    return FAILED if failed else DONE


def _reference(options: RunOptions) -> str | None:
    """Return the run's reference, None where a shard has no cell of it."""
    from bench.reference import run_reference, stored_methods

    reference = run_reference(options)
    if reference is None or options.shard is None:
        return reference
    if reference.partition(" (")[0] in stored_methods(options.out):
        return reference
    click.echo(f"shard {options.shard} has no cell of the reference {reference}")
    return None


def _say_how_to_go_on(outcome: GridOutcome, options: RunOptions) -> int:
    click.echo(
        f"interrupted: {outcome.ran} finished now, {outcome.reused} were done before, all kept in "
        f"{options.out}\ngo on with: {this_command()}",
        err=True,
    )
    return INTERRUPTED


def _report(out: Path, reference: str | None) -> None:
    """Write the report, print its table and where its files are."""
    from bench.report.terminal import terminal_table
    from bench.report.write import write_report

    files = write_report(out, reference)
    click.echo(terminal_table(files.board, **terminal()).rstrip())
    click.echo(f"{files.markdown} (and .csv, .html), {len(files.plots)} plots in {out / 'plots'}")
