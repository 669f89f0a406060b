"""`run --reference METHOD`: the method to compare with, checked before any cell runs."""

from __future__ import annotations

from pathlib import Path

from bench.config.options import RunOptions
from bench.planning.candidates import methods_of
from bench.store.store import ResultsStore
from methods.recipe import parse_recipe
from tasks.errors import UsageError, unknown_name


def run_reference(options: RunOptions) -> str | None:
    """Return the reference of a run as the report names it; None if none was given.

    It must be a method of the run, or one whose cells are in the results folder already. If a
    setting follows, as in `lora (lr 0.001)`, only the method is checked: which settings a table
    distinguishes is known once its cells are.

    Raises:
        UsageError: It is neither; the error names the methods, or similar names if it is no method.
    """
    if options.reference is None:
        return None
    method, _, setting = options.reference.partition(" (")
    run = {method.name: None for method in methods_of(options)}
    name = _canonical(method)
    if name not in run and name not in (stored := stored_methods(options.out)):
        if not _is_method(method):
            raise unknown_name("reference", options.reference, stored | run.keys())
        raise UsageError(
            f"--reference '{method}' is not among --methods {','.join(run)}, and {options.out} "
            f"has no cells of it: name one of these methods, or add {method} to --methods"
        )
    return f"{name} ({setting}" if setting else name


def stored_methods(folder: Path) -> set[str]:
    """Return the methods that have cells in a results folder, as they were requested."""
    return {summary.spec.asked for summary in ResultsStore(folder).summaries()}


def _is_method(method: str) -> bool:
    try:
        parse_recipe(method)
    except UsageError:
        return False
    return True


def _canonical(method: str) -> str:
    """Write a method as tables do, without parameters that have their default values."""
    try:
        return parse_recipe(method).name
    except UsageError:  # of a part that is no longer installed, say: its cells may be here
        return method
