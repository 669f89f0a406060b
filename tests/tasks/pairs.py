r"""Pairs of texts that must agree or differ in normal form, as `pairs.tsv` lists them.

Its columns are the kind of text, `agree` or `differ`, and the two texts. What would be invisible
or look the same is written as `\u00E9`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class Pair(NamedTuple):
    """Two texts, and whether they mean the same."""

    kind: str
    same: bool
    first: str
    second: str


def _pair(line: str) -> Pair:
    kind, verdict, *texts = line.split("\t")
    first, second = (re.sub(r"\\u([0-9A-F]{4})", lambda m: chr(int(m[1], 16)), t) for t in texts)
    return Pair(kind, {"agree": True, "differ": False}[verdict], first, second)


PAIRS = [
    _pair(line)
    for line in Path(__file__).with_suffix(".tsv").read_text(encoding="utf-8").splitlines()
]
