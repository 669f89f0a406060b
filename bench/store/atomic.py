"""Write files that are complete on disk before they get the name that readers look for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import UsageError


def write(path: Path, content: str | bytes) -> Path:
    """Write a file and return its path; no reader and no crash ever leaves half of it.

    Raises:
        OSError: It cannot be written; the previous content is unchanged.
    """
    with draft(path) as staged:
        staged.write_bytes(content.encode() if isinstance(content, str) else content)
        flush(staged)
        os.replace(staged, path)
    return path


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` that no reader looks at; the file is removed unless renamed.

    For content that a library writes. Call `flush` on it before `os.replace`: a rename may reach
    the disk before the content.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield staged
    finally:
        staged.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until a file's content, or the renames in a folder, are on disk."""
    if path.is_dir() and os.name != "posix":
        return  # Windows opens no folders, and makes renames durable by itself
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def ensure_writable(results: Path, *folders: Path) -> None:
    """Create folders in a results folder, and check that files can be written there.

    Args:
        results: The results folder, for the error.
        folders: The folders to create and check.

    Raises:
        UsageError: They cannot be written to.
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
