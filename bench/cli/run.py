"""The commands `run` and `plan`: a grid from its options to its leaderboard."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.common import DONE, FAILED, INTERRUPTED, OptionsOnly, interrupt_once, this_command
from bench.cli.flags import options_of, typed_values
from bench.cli.report import print_report
from bench.config.options import Rerun, RunOptions, load_assumed
from bench.execution.checks import checked_options
from tasks.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from bench.execution.run import GridOutcome


_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="GRID.YAML",
    help="Read options from a YAML file; options on the command line win.",
)


@click.command(cls=OptionsOnly)
@options_of(RunOptions)
@_config
@click.option("--dry-run", is_flag=True, help="Only show what would run, as the command plan does.")
@click.option(
    "--watch", is_flag=True, help="Show the run in the browser, as the command serve does."
)
def run(config: Path | None, dry_run: bool, watch: bool, **given: Any) -> int:
    """Run the missing cells of a grid and show the leaderboard."""
    options = checked_options(typed_values(given), config)
    if dry_run:
        _plan(options, config)
        return DONE
    interrupt_once()
    from bench.libraries import quiet_libraries

    quiet_libraries()
    from bench.execution.run import run_grid
    from bench.progress import open_progress

    with ExitStack() as lasting:
        progress = lasting.enter_context(closing(open_progress()))
        if watch:
            from bench.live.beside import watched

            lasting.enter_context(watched(options.out, progress.note))
        return _conclude(run_grid(options, progress), options)


@click.command(cls=OptionsOnly)
@options_of(RunOptions)
@_config
def plan(config: Path | None, **given: Any) -> None:
    """Show which cells are done, which would run and for how long; change nothing."""
    options = checked_options(typed_values(given), config)
    _plan(options, config)


def _plan(options: RunOptions, config: Path | None) -> None:
    """Print the plan of a grid; by the sizes that its file assumes where nothing else is known.

    Raises:
        UsageError: A model has no revision or facts cannot be read, and no sizes are assumed; or
            the file assumes sizes of what does not exist.
    """
    from bench.cli.sketch import print_sketch
    from bench.planning.sketch import check_assumed, lacking, sketch

    assumed = load_assumed(config) if config else None
    if config and assumed:
        check_assumed(assumed, config)
    try:
        _plan_cells(options)
    except UnavailableError as error:
        if assumed is None:
            raise
        if missing := lacking(options, assumed):
            raise UsageError(
                f"{error}; nor does the section 'assumed' of {config} say what {missing} takes"
            ) from error
        print_sketch(sketch(options, assumed), config, str(error))


def _plan_cells(options: RunOptions) -> None:
    from bench.cli.plan import print_plan
    from bench.execution.parallelism import limits, worker_count
    from bench.models.device import compute_of
    from bench.planning.cost_estimate import grid_cost
    from bench.planning.grid import plan_grid
    from bench.planning.planned_cell import CellState
    from bench.planning.stacking import stacking_notes
    from bench.store.store import ResultsStore

    store = ResultsStore(options.out)
    store.refuse_newer()
    cells = plan_grid(options, store)
    left = [cell for cell in cells if cell.runs or cell.state is CellState.OPEN]
    workers = worker_count(options, left)
    cost = grid_cost(cells, store.summaries())
    stopped = set() if options.rerun is Rerun.ALL else store.unfinished()
    print_plan(cells, cost, workers, unfinished=stopped)
    compute = compute_of(options)
    notes = stacking_notes(options, compute, left)
    for line in (*notes, *limits(options, compute, workers, left)):
        click.echo(line)


def _conclude(outcome: GridOutcome, options: RunOptions) -> int:
    if outcome.interrupted:
        click.echo(
            f"interrupted: {outcome.ran} finished now and {outcome.reused} before, all saved in "
            f"{options.out}\nresume with: {this_command()}",
            err=True,
        )
        return INTERRUPTED
    if options.shard and not (outcome.records or outcome.lost):
        click.echo(f"shard {options.shard} has no cells of this grid")
        return DONE
    if not (outcome.ran or outcome.lost):
        click.echo(f"nothing to do: all cells of this grid are already in {options.out}")
    if outcome.records or not outcome.lost:
        print_report(options.out, _reference(options))
    if outcome.failed:
        click.echo(
            f"{outcome.failed} of {len(outcome.records)} cells failed; "
            "run them again with --rerun failed",
            err=True,
        )
    if outcome.lost:
        click.echo(f"error: {outcome.loss}", err=True)
    return FAILED if outcome.failed or outcome.lost else DONE


def _reference(options: RunOptions) -> str | None:
    """Return the run's reference; None if the results have no cells of it because of --shard."""
    from bench.planning.reference import run_reference, stored_methods

    reference = run_reference(options)
    if reference is None or options.shard is None:
        return reference
    if reference.partition(" (")[0] in stored_methods(options.out):
        return reference
    click.echo(f"shard {options.shard} has no cells of the reference {reference}")
    return None
