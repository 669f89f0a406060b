"""A progress that remembers what ran, for tests of studies that resume."""

from __future__ import annotations

from bench.progress.base import Silent


class Listening(Silent):
    """Remembers what ran; interrupts at a training if told to."""

    def __init__(self, stop_at=None):
        self.ran, self.stop_at = [], stop_at

    def cell(self, index, total, label, together=1):
        if index == self.stop_at:
            raise KeyboardInterrupt
        self.ran.append(label)
