"""`bench.load_results`: what a results folder holds, as pandas frames and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import unknown_name

if TYPE_CHECKING:
    import pandas as pd

    from bench.library.pictures import Pictures
    from bench.report.leaderboard.board import Cell, Leaderboard
    from bench.store.records import CellRecord


@dataclass(frozen=True)
class Results:
    """What a results folder held when it was first asked for; a newer state needs a new object.

    Attributes:
        folder: The results folder.
        reference: The method that `leaderboard` compares the others with; None: lora, if present.
    """

    folder: Path
    reference: str | None = None

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """One row per model, task and method over all seeds: the columns of `leaderboard.csv`."""
        from bench.report.tables.csv import leaderboard_frame

        return leaderboard_frame(self._board)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row per cell, failed ones too: its status, setting, metrics and costs."""
        from bench.library.frames import cells_frame

        return cells_frame(self._records)

    @cached_property
    def facts(self) -> pd.DataFrame:
        """One row per fact and finished cell: answers, distances and what was learned."""
        from bench.library.frames import facts_frame

        return facts_frame(self._done)

    @cached_property
    def paths(self) -> pd.DataFrame:
        """One row per checkpoint and finished cell: what was learned and forgotten by then."""
        from bench.library.frames import paths_frame

        return paths_frame(self._done)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row per epoch and finished cell: its loss, and the tokens that were right."""
        from bench.library.frames import curves_frame

        return curves_frame([cell.record for cell in self._done])

    @cached_property
    def problems(self) -> tuple[str, ...]:
        """A line for each file of the folder that is damaged, and left out of everything."""
        return self._board.problems

    def compare(
        self,
        method: str,
        reference: str,
        metric: str | None = None,
        *,
        model: str | None = None,
        task: str | None = None,
    ) -> pd.DataFrame:
        """Compare a method with another, paired by seed and fact, as the leaderboard does.

        Args:
            method: A method as in `leaderboard["method"]`, or as in `label` with its setting.
            reference: What it is compared with.
            metric: A column of the leaderboard, such as `drift`; None for all of them.
            model: Compare on this one only; None for all that have both methods.
            task: The same.

        Returns:
            One row per model, task, setting and metric: `estimate` with its 95% interval (`low`,
            `high`), which is method minus reference, or their ratio where `kind` says so; `p` and
            `p_holm`, corrected over the methods of the table, missing with fewer than three seeds;
            `seeds`; and the `verdict`: better, worse, tie or untested.

        Raises:
            UsageError: A method or metric is unknown, or the two have nothing in common.
        """
        from bench.library.compare import compare_frame

        boards = self._boards
        if reference not in boards:
            boards[reference] = self._load(reference)
        return compare_frame(boards[reference], method, metric, model, task)

    def plot(self, kind: str, title: str = "") -> Pictures:
        """Draw one of the report's plots; a notebook shows what this returns.

        Args:
            kind: Its name, as `python -m bench list` shows it: `paths`, `dose-by-distance`, ...
            title: Draw only where this is in the title, such as `smollm2-135m on countries`.

        Returns:
            A sequence of matplotlib figures, one for each model and task that has something to
            show, or one for each title of a plot across these.

        Raises:
            UsageError: There is no such plot, no such title, or nothing to show.
        """
        from bench.library.pictures import draw

        return draw(self._board, kind, title)

    def report(self, plots: str = "auto") -> Path:
        """Write the tables and plots that the command line writes; return `leaderboard.html`.

        Args:
            plots: Which to draw: `auto`, `all`, `none`, or part of a title.
        """
        from bench.report.write import write_report

        return write_report(self.folder, self.reference, plots).html

    def _repr_html_(self) -> str:
        from bench.library.shown import tables_html

        return tables_html(self._board)

    def __repr__(self) -> str:
        rows = len(self._board.rows)
        return f"Results({str(self.folder)!r}: {len(self._records)} cells, {rows} methods)"

    @cached_property
    def _records(self) -> Sequence[CellRecord]:
        from bench.report.leaderboard.load import stored_records

        return stored_records(self.folder).records

    @cached_property
    def _done(self) -> Sequence[Cell]:
        """The finished cells with their facts."""
        from bench.report.leaderboard.read_cells import readable_cells
        from bench.store.records import Status
        from bench.store.store import ResultsStore

        done = [record for record in self._records if record.status is Status.DONE]
        return readable_cells(ResultsStore(self.folder), done)[0]

    @cached_property
    def _board(self) -> Leaderboard:
        return self._load(self.reference)

    @cached_property
    def _boards(self) -> dict[str, Leaderboard]:
        """Boards by the reference that they compare with."""
        return {}

    def _load(self, reference: str | None) -> Leaderboard:
        from bench.report.leaderboard.load import load_leaderboard, refuse_unreadable

        board = load_leaderboard(self.folder, reference)
        refuse_unreadable(board, self.folder)
        return board


def load_results(folder: str | PathLike[str], reference: str | None = None) -> Results:
    """Return what a results folder holds; nothing is computed again that takes a model.

    Args:
        folder: A folder that `run` has written to, or a committed one such as `results/example`.
        reference: The method that the leaderboard compares the others with; None: lora, if present.

    Raises:
        UsageError: The folder holds no cells, or none of the reference.
    """
    from bench.report.leaderboard.load import stored_records
    from bench.report.leaderboard.standings import DEFAULT_REFERENCE

    found = Results(Path(folder).expanduser(), reference)
    stored_records(found.folder)
    if reference not in (None, DEFAULT_REFERENCE):
        methods = {record.spec.asked for record in found._records}
        if str(reference).partition(" (")[0] not in methods:
            raise unknown_name("reference", str(reference), methods)
    return found
