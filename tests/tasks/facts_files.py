"""Facts files for tests, and what is read from them."""

from __future__ import annotations

import json

from tasks.base import DataAccess
from tasks.files import FileTask


def load(path):
    """Return the facts in a file."""
    return FileTask(str(path)).load(DataAccess())


def write(folder, name, content):
    """Write text, bytes, or rows as JSON lines or an array, and return the path."""
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
        return path
    if not isinstance(content, str):
        rows = [json.dumps(row) for row in content]
        content = f"[{', '.join(rows)}]" if path.suffix == ".json" else "\n".join(rows)
    path.write_text(content, encoding="utf-8")
    return path
