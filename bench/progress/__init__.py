"""The progress of a run: a live display on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TextIO

from bench.progress.base import Progress
from bench.progress.plain import PlainProgress


def open_progress(stream: TextIO | None = None) -> Progress:
    """Return the live display if `stream` (standard error) can show one, else plain lines."""
    # Rich takes a tenth of a second to import: not for those that only import this package.
    from rich.console import Console

    stream = stream or sys.stderr
    console = Console(file=stream)
    if console.is_jupyter:
        from bench.progress.notebook import NotebookProgress

        return NotebookProgress()
    if not console.is_terminal or console.is_dumb_terminal:
        return PlainProgress(stream)
    from bench.progress.live import LiveProgress

    return LiveProgress(console)
