r"""`leaderboard.tex`: a table per section for papers, to `\input` beside the package booktabs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from bench.redaction import safe_text
from bench.report.leaderboard.board import Leaderboard, Section
from bench.report.tables import remarks
from bench.report.tables.columns import cost_columns, quality_columns

_SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "|": r"\textbar{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        # After a line's end a bracket would be read as its spacing.
        "[": "{[}",
        "]": "{]}",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    }
)
_MATHS = str.maketrans(
    {
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "≈": r"$\approx$",
        "▲": r"$^{+}$",
        "▼": r"$^{-}$",
    }
)
_KEY = re.compile(r"[^a-z0-9]+")


def leaderboard_tex(board: Leaderboard, ready: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the text of `leaderboard.tex`: what was learned, kept and spent, without plots.

    Args:
        board: What is shown.
        ready: Sections that `section_tex` has rendered already, by title.
    """
    head = (
        "% Requires \\usepackage{booktabs}. Generated from the stored cells; do not edit by hand."
    )
    tables = [ready.get(section.title) or section_tex(section) for section in board.sections]
    return "\n".join([head, *tables]) + "\n"


def latex(text: str) -> str:
    """Escape a text for LaTeX; what steers terminals or reorders text is made visible."""
    return safe_text(" ".join(text.split())).translate(_SPECIAL)


def _shown(text: str) -> str:
    """Escape a text of the program's own, whose arrows and marks are set as maths."""
    return latex(text).translate(_MATHS)


def section_tex(section: Section) -> str:
    """Return a section's table."""
    columns = [*quality_columns(section), cost_columns(section)[0]]
    header = " & ".join(["method", "seeds", *(_shown(column.title) for column in columns)])
    body = []
    for row in section.rows:
        shown = [latex(row.label), remarks.seeds(row), *(_shown(c.show(row).text) for c in columns)]
        body.append(" & ".join(shown) + r" \\")
    key = _KEY.sub("-", section.title.casefold()).strip("-")
    return "\n".join(
        [
            "",
            r"\begin{table}",
            r"\centering\footnotesize",
            f"\\caption{{{_caption(section)}}}",
            f"\\label{{tab:{key}}}",
            f"\\begin{{tabular}}{{ll{'r' * len(columns)}}}",
            r"\toprule",
            f"{header} \\\\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _caption(section: Section) -> str:
    said = [
        f"{section.title}, {remarks.counted(section)}.",
        remarks.interval_remark(section),
        remarks.comparison_remark(section),
        *(f"{text}." for text in remarks.failures(section)),
    ]
    return _shown(" ".join(text for text in said if text))
