"""What the command of a card plans."""

from __future__ import annotations

import shlex

from bench.cli.flags import typed_values
from bench.cli.run import plan
from bench.config.options import RunOptions, build_options
from bench.planning.grid import plan_grid
from bench.store.store import ResultsStore


def planned_by(command, out):
    """Return the cells of a typed run, for an empty results folder."""
    program, words = shlex.split(command)[:4], shlex.split(command)[4:]
    assert program == ["python", "-m", "bench", "run"]
    given = plan.make_context("plan", [*words, "--device", "cpu"]).params
    known = {k: v for k, v in typed_values(given).items() if k in RunOptions.model_fields}
    return plan_grid(build_options(known), ResultsStore(out))
