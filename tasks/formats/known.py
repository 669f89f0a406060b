"""The published formats that are read, and how one is told from its first record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.formats.alpaca import Alpaca
from tasks.formats.counterfact import CounterFact
from tasks.formats.knowedit import KnowEdit, WikiBio
from tasks.formats.mquake import MQuake
from tasks.formats.record import Format
from tasks.formats.squad import SquadArticles, SquadRows
from tasks.formats.wiki_big_edit import WikiBigEdit
from tasks.formats.zsre import ZsreFlat, ZsreMend

FORMATS: tuple[Format, ...] = (
    SquadArticles(),
    SquadRows(),
    Alpaca(),
    CounterFact(),
    MQuake(),
    ZsreFlat(),
    ZsreMend(),
    KnowEdit(),
    WikiBio(),
    WikiBigEdit(),
)


def format_of(values: Mapping[str, Any]) -> Format | None:
    """Return the published format of a record; None for a row of an own facts file."""
    return next((one for one in FORMATS if one.fits(values)), None)
