"""Reads .txt and .md files, and folders of them, as passages that say where they stand.

A passage of a .txt file is a paragraph: lines between blank ones. One of a .md file is a section: a
heading with all up to the next one. Markdown is trained as it is written, with its marks. What is
trained is the same however a text is divided, since passages are joined by line ends and packed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from tasks.errors import UsageError
from tasks.fact import Fact

TEXT_SUFFIXES = (".txt", ".md")
"""The formats in which people write texts."""

LARGEST_TEXT = 16 * 2**20
"""Most bytes in a file; that is about four million tokens, days of training on a laptop."""

_HEADING = re.compile(r" {0,3}#{1,6}(?:\s|$)")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")


def is_text_path(path: Path) -> bool:
    """Return whether a path is a text by its suffix, or a folder with texts in it."""
    if path.is_dir():
        return next(iter(text_files(path)), None) is not None
    return path.suffix.lower() in TEXT_SUFFIXES


def text_files(folder: Path) -> Iterator[Path]:
    """Yield the texts in a folder and the folders within, sorted; hidden ones are left out."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in TEXT_SUFFIXES:
                yield Path(place, name)


def read_passages(path: Path) -> tuple[Fact, ...]:
    """Return the passages of a file, or of all texts in a folder, in their order.

    The id of a passage is its file, as seen from the folder, and its first line. The folder's own
    place is no part of it, so that texts can be moved.

    Raises:
        UsageError: A file cannot be read, is empty, too large, not UTF-8 or no text at all; the
            line names it.
    """
    files = list(text_files(path)) if path.is_dir() else [path]
    passages: list[Fact] = []
    for file in files:
        named = file.relative_to(path).as_posix() if path.is_dir() else file.name
        divided = _sections if file.suffix.lower() == ".md" else _paragraphs
        found = [
            Fact(f"{named}:{line}", "", (text,)) for line, text in divided(_lines_of(file)) if text
        ]
        if not found:
            raise UsageError(f"{file}: contains no text; remove it, or write something in it")
        passages += found
    if not passages:
        raise UsageError(f"{path}: a folder without texts; put .txt or .md files in it")
    return tuple(passages)


def _lines_of(path: Path) -> list[str]:
    try:
        if (size := path.stat().st_size) > LARGEST_TEXT:
            raise UsageError(
                f"{path}: {size / 2**20:.0f} MiB are more than the {LARGEST_TEXT >> 20} MiB that a "
                "text may have; name a part of it"
            )
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    if (at := content.find(b"\0")) >= 0:
        line = content.count(b"\n", 0, at) + 1
        raise UsageError(f"{path}, line {line}: a zero byte; this is no text, save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path}, line {line}: not UTF-8 (byte 0x{error.object[error.start]:02x}); "
            "save the file as UTF-8"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _paragraphs(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the first line and the text of each paragraph."""
    return _divided(lines, lambda place: place > 0 and not lines[place - 1].strip())


def _sections(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the first line and the text of each section of Markdown."""
    headings, fence = set[int](), ""
    for place, line in enumerate(lines):
        mark = _FENCE.match(line)
        if fence:  # a fence ends with one as long; what looks like a heading within is code
            fence = "" if mark and mark[1].startswith(fence) else fence
        elif mark:
            fence = mark[1]
        elif _HEADING.match(line):
            headings.add(place)
    return _divided(lines, headings.__contains__)


def _divided(lines: list[str], begins: Callable[[int], bool]) -> Iterator[tuple[int, str]]:
    """Yield the pieces of a text, each with the number of its first line that is not blank."""
    starts = [0, *(place for place in range(1, len(lines)) if begins(place))]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        piece = lines[start:end]
        blank = next((place for place, line in enumerate(piece) if line.strip()), 0)
        yield start + blank + 1, "\n".join(piece[blank:]).rstrip()
