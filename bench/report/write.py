"""Writes the report of a results folder, from `cells/` and `facts/`; it links to studies."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report.board import Leaderboard
from bench.report.csv_table import leaderboard_csv
from bench.report.latex import leaderboard_tex
from bench.report.load import load_leaderboard
from bench.report.markdown import leaderboard_markdown
from bench.report.page import leaderboard_html
from bench.report.plots import BOARD_PLOTS, PLOTS, Plot, draw_plots
from bench.report.studies import found_studies
from tasks.errors import UsageError


@dataclass(frozen=True)
class ReportFiles:
    """What was written, and the leaderboard behind it."""

    board: Leaderboard
    csv: Path
    markdown: Path
    tex: Path
    html: Path
    plots: tuple[Path, ...]


def write_report(folder: Path, reference: str | None = None) -> ReportFiles:
    """Recompute the tables and plots of a results folder; the same records, the same bytes.

    Plots of sections that are no longer there are removed.

    Args:
        folder: The results folder.
        reference: The method that others are compared with; without it `lora`, where present.

    Raises:
        UsageError: The folder holds no cells or none of the reference, or cannot be written.
    """
    board = load_leaderboard(folder, reference)
    plots, studies = list(draw_plots(board)), found_studies(folder)
    try:
        return ReportFiles(
            board=board,
            csv=_write(folder / "leaderboard.csv", leaderboard_csv(board)),
            markdown=_write(folder / "leaderboard.md", leaderboard_markdown(board, studies)),
            tex=_write(folder / "leaderboard.tex", leaderboard_tex(board)),
            html=_write(folder / "leaderboard.html", leaderboard_html(board, plots, studies)),
            plots=_write_plots(folder / "plots", plots),
        )
    except OSError as error:
        raise UsageError(
            f"cannot write the report to '{folder}': {error.strerror}; give a writable folder"
        ) from error


def _write_plots(folder: Path, plots: Sequence[Plot]) -> tuple[Path, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    names = _names([f"{plot.kind.name}-{plot.title}" for plot in plots])
    written = []
    for name, plot in zip(names, plots, strict=True):
        written.append(_write(folder / f"{name}.png", plot.png))
        written.append(_write(folder / f"{name}.svg", plot.svg))
    for kind in (*PLOTS, *BOARD_PLOTS):
        for path in folder.glob(f"{kind.name}-*.[ps][nv]g"):
            if path not in written:
                path.unlink()
    return tuple(written)


def _names(titles: Sequence[str]) -> list[str]:
    """Return file names for titles; titles that only differ in their signs are numbered."""
    names: list[str] = []
    for title in titles:
        name = re.sub(r"[^a-z0-9.]+", "-", title.casefold().replace(" on ", " ")).strip("-.")[:120]
        names.append(name if name not in names else f"{name}-{len(names)}")
    return names


def _write(path: Path, content: str | bytes) -> Path:
    """Write a file so that a reader never sees half of it."""
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    staged.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(staged, path)
    return path
