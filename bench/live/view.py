"""What the page of the live view asks for every second: only what has changed since."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.live.folder import Look, WatchedFolder
from bench.live.shown import ShownCell, State
from bench.live.time_left import seconds_left
from bench.redaction import safe_text

LOOK_SECONDS = 0.5
"""However many pages ask, the folder is not looked at more often than this."""

LOOK_SHARE = 0.05
"""Looking at a large folder takes at most this share of the time: the run needs the cores."""

LEADERBOARD = "leaderboard.html"


class LiveView:
    """Answers pages that watch one results folder, from several threads.

    Args:
        folder: The results folder.
        now: A clock, in Unix seconds.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self.folder, self._now = folder, now
        self._watched = WatchedFolder(folder)
        self._lock = threading.Lock()
        self._token = uuid.uuid4().hex[:8]
        self._version = 0
        self._cells: dict[str, ShownCell] = {}
        self._changed: dict[str, int] = {}
        self._look: Look | None = None
        self._look_again = 0.0

    def state(self, since: str = "") -> dict[str, Any]:
        """Return the state of the grid.

        Args:
            since: The `version` of an earlier answer, whose cells the page knows; what cells have
                changed since then is told. Of any other text, all cells are.
        """
        with self._lock:
            look = self._current()
            known = self._known(since)
            changed = [
                asdict(self._cells[cell_id]) if cell_id in self._cells else {"id": cell_id}
                for cell_id, version in self._changed.items()
                if version > known and (known or cell_id in self._cells)
            ]
            return {
                "version": f"{self._token}-{self._version}",
                "all": not known,
                "folder": safe_text(str(self.folder)),
                "exists": self.folder.is_dir(),
                "now": self._now(),
                "counts": _counts(look),
                "runs": len(look.plans),
                "working": look.groups,
                "abandoned": look.abandoned,
                "unread": look.unread,
                "left": seconds_left(look, self._now()),
                "leaderboard": self._leaderboard_written(),
                "cells": changed,
            }

    def traceback(self, cell_id: str) -> str:
        """Return the traceback of a cell of the folder; empty if there is none."""
        with self._lock:
            found = self._watched.traceback(cell_id) if cell_id in self._cells else ""
        return safe_text(found, breaks=True)

    def leaderboard(self) -> bytes | None:
        """Return the leaderboard's page; None if there is none yet."""
        try:
            return (self.folder / LEADERBOARD).read_bytes()
        except OSError:
            return None

    def _current(self) -> Look:
        """Look at the folder, and note which cells have changed."""
        started = time.monotonic()
        if self._look is not None and started < self._look_again:
            return self._look
        look = self._watched.look()
        cells = look.cells
        differ = [cell_id for cell_id, cell in cells.items() if self._cells.get(cell_id) != cell]
        differ += self._cells.keys() - cells.keys()
        if differ:
            self._version += 1
            self._changed |= dict.fromkeys(differ, self._version)
        ended = time.monotonic()
        rest = 0.0 if look.unread else (ended - started) / LOOK_SHARE
        self._cells, self._look = cells, look
        self._look_again = ended + max(LOOK_SECONDS, rest)
        return look

    def _known(self, since: str) -> int:
        """Return the version that a page has; 0 if it is none of this server's."""
        token, _, version = since.partition("-")
        known = int(version) if token == self._token and version.isdecimal() else 0
        return known if known <= self._version else 0

    def _leaderboard_written(self) -> float | None:
        try:
            return (self.folder / LEADERBOARD).stat().st_mtime
        except OSError:
            return None


def _counts(look: Look) -> dict[str, int]:
    counts = Counter(cell.state for cell in look.cells.values())
    return {state.value: counts[state] for state in State}
