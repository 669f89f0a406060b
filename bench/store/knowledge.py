"""What the base knew of a fact. Its own module, so that `list` imports quickly."""

from __future__ import annotations

from enum import StrEnum


class KnowledgeCategory(StrEnum):
    """What the pristine base knew of a fact, see `bench.evaluation.knowledge_category`."""

    KNOWN = "known"
    MAYBE = "maybe"
    UNKNOWN = "unknown"
