"""Files that are whole on the disk before they get the name that readers look for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file's whole content."""
    path.write_bytes(content)


def temporary(path: Path) -> Path:
    """Return a name beside `path` that no reader looks at and no other process uses."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def write_durably(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file and wait until it is on the disk."""
    write(path)
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Make renames durable, where the system lets folders be opened."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
