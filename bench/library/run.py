"""`bench.run`: a grid from Python, with the options of the command line as keywords."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from inspect import Parameter, Signature
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Unpack, get_type_hints

from bench.config.options import RunOptions
from bench.execution.checks import checked_options
from bench.library.keywords import RunKeywords
from bench.library.results import Results, load_results
from tasks.errors import unknown_name


def run(
    *,
    config: str | PathLike[str] | None = None,
    progress: bool = True,
    **options: Unpack[RunKeywords],
) -> Results:
    """Run the missing cells of a grid and return the results of its folder.

    Cells that are done are not run again, so the same call twice computes nothing the second time.
    A cell that fails does not stop the others: `Results.cells` has its status and the reason.

    Args:
        config: A grid file; options that are given here win over those of the file.
        progress: Whether to show how far the run is: in a notebook as a bar, on a terminal as on
            the command line, else as lines on standard error.
        **options: The options of `python -m bench run` with underscores, such as
            `methods=["lora", "corda"]`, `seeds="0-2"`, `out="results"`. Lists, and texts separated
            by commas, are read as in a grid file.

    Raises:
        UsageError: An option is wrong; one line says what would be right.
        KeyboardInterrupt: The run was interrupted; what is finished is stored, and the same call
            goes on from there.
        NoSpaceError: The disk is full; what is finished is stored.
        RuntimeError: Worker processes ended without a result for some cells.
    """
    for name in options:
        if name not in RunOptions.model_fields:
            raise unknown_name("option", name, RunOptions.model_fields)
    given = {name: _plain(value) for name, value in options.items()}
    chosen = checked_options(given, None if config is None else Path(config))

    from bench.libraries import quiet_within

    with quiet_within():
        from bench.execution.run import run_grid
        from bench.progress import open_progress
        from bench.progress.base import Silent

        with closing(open_progress() if progress else Silent()) as shown:
            outcome = run_grid(chosen, shown)
    if outcome.interrupted:
        raise KeyboardInterrupt(f"what is finished is stored in {chosen.out}")
    if outcome.lost:
        raise RuntimeError(outcome.loss)
    return load_results(chosen.out, _reference(chosen))


def _plain(value: Any) -> Any:
    """Write a value as a grid file would: paths as texts, all sequences as lists."""
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _reference(options: RunOptions) -> str | None:
    """Return the run's reference; None if this shard has no cells of it."""
    from bench.planning.reference import run_reference, stored_methods

    reference = run_reference(options)
    if reference is None or reference.partition(" (")[0] in stored_methods(options.out):
        return reference
    return None


def _signature() -> Signature:
    """Return the signature with every option, which notebooks complete and show."""
    own = [Parameter("config", Parameter.KEYWORD_ONLY, default=None)]
    own.append(Parameter("progress", Parameter.KEYWORD_ONLY, default=True))
    types = get_type_hints(RunKeywords)
    defaults = RunOptions().model_dump(mode="json")
    options = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=defaults[name], annotation=types[name])
        for name in RunOptions.model_fields
    ]
    return Signature([*own, *options], return_annotation=Results)


run.__signature__ = _signature()  # type: ignore[attr-defined]
