"""The grid files of the findings: what each is for, what runs it, and whether it has run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from bench import ROOT
from bench.config.grid_file import read_grid_file
from bench.pages.findings import planned
from bench.store.records import CellRecord, Status
from tasks.context import TrainPrompt
from tasks.notation import split_outside_brackets

GRIDS = ROOT / "configs" / "findings"
"""The folder with the grid files, `<name>.yaml`."""


@dataclass(frozen=True)
class CommittedGrid:
    """A grid file of the findings.

    Attributes:
        name: The file's name without its ending.
        about: What the grid is for: the first comment of the file, up to an empty line of it.
        command: What runs the grid, or what is left of it.
        run: Whether each of its methods has a cell that is reported.
    """

    name: str
    about: str
    command: str
    run: bool


def read_grids(out: Path, records: Iterable[CellRecord]) -> tuple[CommittedGrid, ...]:
    """Read the grid files, in the order in which the design runs them.

    Args:
        out: The folder that their cells go to.
        records: The cells that are there.
    """
    done = [record for record in records if record.status is Status.DONE]
    return tuple(_read(path, out, done) for path in sorted(GRIDS.glob("*.yaml"), key=_planned))


def _read(path: Path, out: Path, done: list[CellRecord]) -> CommittedGrid:
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = takewhile(lambda line: line.startswith("# "), lines)
    shown, into = (Path(os.path.relpath(one)).as_posix() for one in (path, out))
    return CommittedGrid(
        name=path.stem,
        about=" ".join(line.removeprefix("# ").strip() for line in comments),
        command=shlex.join(["nox", "-s", "bench", "--", "--config", shown, "--out", into]),
        run=_has_run(path, done),
    )


def _has_run(path: Path, done: list[CellRecord]) -> bool:
    options = read_grid_file(path).content
    methods = options.get("methods", ())
    asked = split_outside_brackets(methods, ",") if isinstance(methods, str) else list(methods)
    prompt = options.get("train-prompt", TrainPrompt.PLAIN)
    like = (*(options.get(name) for name in ("models", "tasks", "limit")), prompt)
    reported = {
        spec.asked
        for spec in (record.spec for record in done)
        if not spec.is_candidate and (spec.model, spec.task, spec.facts, spec.train_prompt) == like
    }
    return bool(asked) and reported.issuperset(asked)


def _planned(path: Path) -> tuple[int, str]:
    """Sort grid files in the order in which the design runs them."""
    names = [grid.name for grid in planned.GRIDS]
    return names.index(path.stem) if path.stem in names else len(names), path.stem
