"""What the base knew of a fact, without the libraries that records need: `list` imports it."""

from __future__ import annotations

from enum import StrEnum


class KnowledgeCategory(StrEnum):
    """What the pristine base knew of a fact, see `bench.evaluation.knowledge_category`."""

    KNOWN = "known"
    MAYBE = "maybe"
    UNKNOWN = "unknown"
