"""Folders of this machine: write a whole one or none of it, and keep their names to oneself."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.store.records import CellSpec
from tasks.errors import UsageError


def refuse_taken(folder: Path) -> None:
    """Refuse to write to a folder that holds something, or to a file.

    Raises:
        UsageError: It is one.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if os.path.lexists(folder):
        what = "is not empty" if folder.is_dir() else "is a file"
        raise UsageError(f"'{folder}' {what}: name a folder that does not exist yet")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`, which gets its name if the block succeeds.

    Raises:
        UsageError: The folder holds something, or nothing can be written there.
    """
    refuse_taken(folder)
    staged = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        try:
            staged.mkdir(parents=True)
        except OSError as error:
            raise UsageError(f"cannot write to '{folder}': {error.strerror}") from error
        yield staged
        if folder.is_dir():
            folder.rmdir()
        os.replace(staged, folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


_PARAMETER = re.compile(r"[\[,=]([^\[\],=]+)")
"""A value in the brackets of a task or a recipe, such as a file of questions."""

_ABSOLUTE = re.compile(r"(?<![\w:/.])/(?:[^\s/'\"`,;:()|<>]+/)+")


def without_folders(text: str, spec: CellSpec) -> str:
    """Write the files that a cell names by their names alone, wherever they lie.

    Args:
        text: What is published of the cell.
        spec: The cell, whose model, tasks and recipe may be files.
    """
    named = [spec.task, spec.recipe, spec.method, *([spec.after.task] if spec.after else [])]
    values = [*(name.partition("[")[0] for name in named), spec.model]
    values += [value for name in named for value in _PARAMETER.findall(name)]
    folders = {f"{Path(value).parent}/" for value in values if _is_file(value)}
    for folder in sorted(folders - {"./", "//"}, key=len, reverse=True):
        text = text.replace(folder, "")
    return _ABSOLUTE.sub("", text)


def _is_file(value: str) -> bool:
    return "/" in value and (Path(value).exists() or Path(value).suffix != "")
