"""Files that are whole on the disk before they get the name that readers look for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import UsageError


def write(path: Path, content: str | bytes) -> Path:
    """Write a file so that neither a reader nor a crash leaves half of it; return its path.

    Raises:
        OSError: It cannot be written; what was there before is unchanged.
    """
    with draft(path) as staged:
        staged.write_bytes(content.encode() if isinstance(content, str) else content)
        flush(staged)
        os.replace(staged, path)
    return path


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Name a file beside `path` that no reader looks at; it is removed unless it was renamed.

    For content that a library writes itself. Call `flush` on it before `os.replace`: a rename
    may reach the disk before what it renames.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield staged
    finally:
        staged.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until a file's content, or the renames in a folder, are on the disk."""
    if path.is_dir() and os.name != "posix":
        return  # Windows opens no folders, and makes renames durable by itself
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def ensure_writable(results: Path, *folders: Path) -> None:
    """Create folders of a results folder, and prove that files can be written there.

    Raises:
        UsageError: They cannot; one line says why.
    """
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            with draft(folder / "probe") as probe:
                probe.write_bytes(b"")
    except OSError as error:
        raise UsageError(
            f"cannot write results to '{results}': {error.strerror}; "
            "give a writable folder with --out"
        ) from error
