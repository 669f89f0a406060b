"""Kinds of failures of a cell or a run: memory, disk, time."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_SECONDS = 5.0
"""If something swallows the error of a time limit, it is raised again after this long."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_TEXT = "no space left on device"  # what libraries with errors of their own keep of ENOSPC
_NO_MEMORY_TEXTS = ("can't allocate memory", "not enough memory", "cannot allocate memory")


class NoSpaceError(Exception):
    """The disk is full: the run ends with this one line; finished cells are intact."""


class CellTimeoutError(BaseException):
    """A cell took too long. Not an `Exception`, which a library might swallow."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out; on a CPU torch raises a RuntimeError for that."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).casefold()
    return isinstance(error, RuntimeError | OSError) and any(t in text for t in _NO_MEMORY_TEXTS)


def raise_device_errors(error: BaseException) -> None:
    """Raise an error again that says nothing about the code that met it.

    Whoever tries an optimization and goes back to plain code after an error calls this first:
    memory that ran out and a device that failed are no reasons to try something slower.
    """
    import torch

    if is_out_of_memory(error) or isinstance(error, torch.AcceleratorError):
        raise error


def disk_is_full(error: BaseException) -> bool:
    """Return whether the disk is full or a quota exceeded."""
    full = isinstance(error, OSError) and error.errno in _FULL
    return full or _FULL_TEXT in str(error).casefold()


def no_space(error: BaseException) -> NoSpaceError:
    """Return the error that ends a run because the disk is full, with what to do."""
    return NoSpaceError(
        f"the disk is full ({first_line(error)}); finished cells are saved: free some space and "
        "run the same command again"
    )


def first_line(error: BaseException) -> str:
    """Return the name of an error's class and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def shortened(value: object) -> str:
    """Write a value in one short line, for a message."""
    return " ".join(f"{value!r:.60}".split())


@contextmanager
def time_limit(seconds: float | None, told: str) -> Iterator[None]:
    """Raise `CellTimeoutError` in the block once it has run for `seconds`.

    Only the main thread can be interrupted; in others there is no limit.

    Args:
        seconds: The limit; None: no limit.
        told: The message of the error.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise CellTimeoutError(told)

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
