"""What goes wrong in a cell or in a run, told apart: memory, disk, time."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_SECONDS = 5.0
"""A time limit that something swallowed strikes again after so long."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_TEXT = "no space left on device"  # what libraries with errors of their own keep of ENOSPC
_NO_MEMORY_TEXTS = ("can't allocate memory", "not enough memory", "cannot allocate memory")


class NoSpaceError(Exception):
    """The disk is full: the run ends with this one line, finished cells stay as they are."""


class CellTimeoutError(BaseException):
    """A cell took longer than it may; no `except Exception` of a library swallows it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out; on a CPU torch says so in a RuntimeError."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).casefold()
    return isinstance(error, RuntimeError | OSError) and any(t in text for t in _NO_MEMORY_TEXTS)


def disk_is_full(error: BaseException) -> bool:
    """Return whether a disk or a quota is full."""
    full = isinstance(error, OSError) and error.errno in _FULL
    return full or _FULL_TEXT in str(error).casefold()


def no_space(error: BaseException) -> NoSpaceError:
    """Return the error that ends a run for want of space, with what to do."""
    return NoSpaceError(
        f"the disk is full ({first_line(error)}): finished cells are kept; make room and run the "
        "same command again"
    )


def first_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of its text."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `CellTimeoutError` in what runs inside once it has run for `seconds`.

    Only a main thread can be interrupted; elsewhere there is no limit.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise CellTimeoutError(f"stopped after {seconds:g} s (--timeout)")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
