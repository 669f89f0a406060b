"""From what a person writes after `--tasks` or `--forgetting` to a task."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.base import TASKS, KnowledgeTask
from tasks.errors import UsageError, nearest
from tasks.files import FileRole, FileTask
from tasks.notation import build_part, parse_part
from tasks.rows import SUFFIXES


def resolve_task(text: str, *, trained: bool, forgotten: bool) -> KnowledgeTask:
    """Return the task called `text`, or the task of the facts file at that path.

    Only names are looked at: no data are read and no torch is imported.

    Args:
        text: `countries`, `fictional[n=1000]`, or a path to a .jsonl, .json or .csv file.
        trained: Whether the run trains on it.
        forgotten: Whether the run measures forgetting on it.

    Raises:
        UsageError: No such task or file, with the nearest right name.
    """
    text = text.strip()
    if _is_path(text):
        return FileTask(_checked_path(text), _role(trained, forgotten))
    name, written = parse_part(text)
    if name not in TASKS and (Path(text).is_file() or Path(text).suffix):
        raise UsageError(_unknown_type(text))
    return build_part(TASKS[name], name, written)


def _role(trained: bool, forgotten: bool) -> FileRole:
    if trained and forgotten:
        return FileRole.BOTH
    return FileRole.FORGOTTEN if forgotten else FileRole.TRAINED


def _is_path(text: str) -> bool:
    if text.partition("[")[0] in TASKS:
        return False
    separators = tuple(filter(None, (os.sep, os.altsep)))
    return Path(text).suffix.lower() in SUFFIXES or any(s in text for s in separators)


def _checked_path(text: str) -> str:
    path = Path(text).expanduser()
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise UsageError(_unknown_type(text))
        return text
    if path.is_dir():
        raise UsageError(f"'{text}' is a folder: name a {', '.join(SUFFIXES)} file in it")
    raise UsageError(f"no file '{text}'{_near_file(path)}")


def _near_file(path: Path) -> str:
    """Return a hint at a file of nearly this name beside it, or at a task of nearly this name."""
    if not path.parent.is_dir():
        return f": there is no folder '{path.parent}'"
    files = [file for file in path.parent.iterdir() if file.suffix.lower() in SUFFIXES]
    close = nearest(path.name, [file.name for file in files]) or nearest(path.stem, TASKS.names())
    return f": did you mean {' or '.join(close)}?" if close else ""


def _unknown_type(text: str) -> str:
    return (
        f"'{text}': unknown file type '{Path(text).suffix}'; facts are read from "
        f"{', '.join(SUFFIXES)} files"
    )
