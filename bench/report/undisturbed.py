"""Keeps Python and BLAS from what costs a large report more than it brings."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def undisturbed() -> Iterator[None]:
    """Search no garbage and multiply matrices in one thread.

    What is read lives to the end, and looking through it takes a tenth of the time. The matrices
    are small: a second thread would mostly wait, on a core that another process works on.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        if enabled:
            gc.enable()
