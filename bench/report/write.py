"""Writes the report of a results folder, from `cells/` and `facts/`; it links to studies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report.html.page import leaderboard_html
from bench.report.leaderboard.board import Leaderboard
from bench.report.leaderboard.load import BoardSource, refuse_unreadable
from bench.report.leaderboard.study_links import found_studies
from bench.report.leaderboard.suite_results import SuiteResults, read_suite_results
from bench.report.parallel import bulk_settings, load_rendered
from bench.report.tables.csv import leaderboard_csv
from bench.report.tables.latex import leaderboard_tex
from bench.report.tables.limits import AUTO, Drawing, left_out
from bench.report.tables.markdown import leaderboard_markdown
from bench.store import atomic
from bench.store.store import DamagedRowsError
from tasks.errors import UsageError

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

    from bench.report.plots import Plot


@dataclass(frozen=True)
class ReportFiles:
    """What was written, the leaderboard behind it, and lines on plots that were not drawn.

    Attributes:
        left_out: Says which were not asked for; empty if all were.
        problems: Says which could not be drawn, and why.
    """

    board: Leaderboard
    csv: Path
    markdown: Path
    tex: Path
    html: Path
    plots: tuple[Path, ...]
    left_out: str
    problems: tuple[str, ...]


def write_report(
    folder: Path,
    reference: str | None = None,
    wanted_plots: str = AUTO,
    processes: ProcessPoolExecutor | None = None,
    beside: Path | None = None,
) -> ReportFiles:
    """Recompute the tables and plots of a results folder; the same records, the same bytes.

    Plots that are not drawn now, such as those of sections that are no longer there, are removed.

    Args:
        folder: The results folder.
        reference: The method that others are compared with; without it `lora`, where present.
        wanted_plots: Which plots to draw, see `draw_plots`.
        processes: Workers of `report_processes`; None renders everything in this process.
        beside: A folder with results of PEFT's method comparison, shown in a table of their own.

    Raises:
        UsageError: No cell can be read or none is of the reference, no title has the text of
            `wanted_plots`, `beside` holds no results, or the folder cannot be written.
    """
    source = BoardSource(folder, reference)
    other = read_suite_results(beside) if beside is not None else None
    with bulk_settings():
        while True:
            try:
                report = _rendered(source, wanted_plots, processes, other)
                break
            except DamagedRowsError as error:  # Texts turn out to be damaged as they are shown.
                source = replace(source, damaged={**source.damaged, error.cell_id: str(error)})
    try:
        csv, markdown, tex, html = (
            atomic.write(folder / f"leaderboard.{extension}", text)
            for extension, text in report.texts.items()
        )
        plots = _write_plots(folder / "plots", report.plots)
    except OSError as error:
        raise UsageError(
            f"cannot write the report to '{folder}': {error.strerror}; give a writable folder"
        ) from error
    return ReportFiles(
        report.board, csv, markdown, tex, html, plots, report.left_out, tuple(report.problems)
    )


@dataclass(frozen=True)
class _Report:
    """What is written: by its extension the text of each `leaderboard` file, and the plots."""

    board: Leaderboard
    texts: dict[str, str]
    plots: list[Plot]
    left_out: str
    problems: dict[str, None]


def _rendered(
    source: BoardSource,
    wanted_plots: str,
    processes: ProcessPoolExecutor | None,
    other: SuiteResults | None,
) -> _Report:
    studies = found_studies(source.folder)
    board, ready = load_rendered(source, processes)
    refuse_unreadable(board, source.folder)
    if other is not None:
        board = replace(board, beside=other, problems=(*board.problems, *other.problems))
    lacking = left_out(board, wanted_plots)
    problems: dict[str, None] = {}
    plots = _drawn(board, wanted_plots, problems)
    drawn = {plot.section.title for plot in plots if plot.section}
    plain = {title: texts.html for title, texts in ready.items() if title not in drawn}
    texts = {
        "csv": leaderboard_csv(board),
        "md": leaderboard_markdown(board, studies, {t: ready[t].markdown for t in ready}),
        "tex": leaderboard_tex(board, {t: ready[t].tex for t in ready}),
        "html": leaderboard_html(board, plots, studies, lacking, plain),
    }
    return _Report(board, texts, plots, lacking, problems)


def _drawn(board: Leaderboard, wanted: str, problems: dict[str, None]) -> list[Plot]:
    """Draw plots; where none are wanted, matplotlib is not even loaded, which takes a second."""
    if Drawing(wanted, len(board.sections)).is_empty:
        return []
    from bench.report.plots import draw_plots

    return list(draw_plots(board, wanted, problems))


def _write_plots(folder: Path, plots: Sequence[Plot]) -> tuple[Path, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    names = _names([f"{plot.kind.name}-{plot.title}" for plot in plots])
    written = []
    for name, plot in zip(names, plots, strict=True):
        written.append(atomic.write(folder / f"{name}.png", plot.png))
        written.append(atomic.write(folder / f"{name}.svg", plot.svg))
    earlier = set(folder.glob("*-*.[ps][nv]g")) - set(written)
    if earlier:
        from bench.report.plots._kinds import KINDS

        for path in earlier:
            if path.name.startswith(tuple(f"{name}-" for name in KINDS)):
                path.unlink()
    return tuple(written)


def _names(titles: Sequence[str]) -> list[str]:
    """Return file names for titles; titles that only differ in their signs are numbered."""
    names: dict[str, None] = {}
    for title in titles:
        name = re.sub(r"[^a-z0-9.]+", "-", title.casefold().replace(" on ", " ")).strip("-.")[:120]
        names[name if name not in names else f"{name}-{len(names)}"] = None
    return list(names)
