"""A picture of the page: drawn when the page is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A picture with its file name, without ending, and what it shows in one sentence."""

    name: str
    caption: str
    draw: Callable[[], Figure]


def file_name(*words: str) -> str:
    """Return a file name, without ending, from words for people."""
    return re.sub(r"[^a-z0-9.]+", "-", "-".join(words).casefold()).strip("-.")
