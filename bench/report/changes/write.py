"""Writes what changed between two results folders into a third one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.report.changes.build import Changes, changes_between
from bench.report.changes.csv import answers_csv, changes_csv
from bench.report.changes.markdown import changes_markdown
from bench.report.changes.page import changes_html
from bench.store import atomic
from tasks.errors import UsageError


@dataclass(frozen=True)
class ChangeFiles:
    """What was written."""

    markdown: Path
    html: Path
    csv: Path
    answers: Path


def compare_folders(a: Path, b: Path) -> Changes:
    """Compare two results folders, which are only read.

    Raises:
        UsageError: One holds no cells, or none that can be read.
    """
    changes = changes_between(a, b)
    for side in (changes.a, changes.b):
        if side.problems and not (side.cells or changes.candidates):
            more = f" (and {len(side.problems) - 1} more)" if side.problems[1:] else ""
            raise UsageError(f"no cell in '{side.folder}' can be read: {side.problems[0]}{more}")
    return changes


def refuse_within(to: Path, folder: Path) -> None:
    """Refuse to write into the folder that others are compared with.

    Raises:
        UsageError: `to` is that folder, or lies in it.
    """
    if to.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"--to '{to}' lies in '{folder}', which is only read: name a folder outside of it, "
            "such as changes"
        )


def write_changes(changes: Changes, to: Path) -> ChangeFiles:
    """Write the tables and the page of a comparison; the same records, the same bytes.

    Args:
        changes: What changed.
        to: The folder; it is made if it does not exist.

    Raises:
        UsageError: It lies in folder A, or cannot be written.
    """
    refuse_within(to, changes.a.folder)
    texts = {
        "changes.md": changes_markdown(changes),
        "changes.html": changes_html(changes),
        "changes.csv": changes_csv(changes),
        "answers.csv": answers_csv(changes),
    }
    try:
        to.mkdir(parents=True, exist_ok=True)
        return ChangeFiles(*(atomic.write(to / name, text) for name, text in texts.items()))
    except OSError as error:
        raise UsageError(
            f"cannot write the comparison to '{to}': {error.strerror}; name a writable folder "
            "with --to"
        ) from error
