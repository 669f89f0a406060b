"""Scores of answers: exact match and token F1 on normalised text, as in SQuAD, arXiv 1606.05250."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(answer: str) -> str:
    """Return an answer in lower case, without punctuation, English articles and extra spaces.

    An answer that consists of punctuation alone (`+`) keeps it, because nothing else would be left.
    """
    folded = answer.casefold().strip()
    bare = " ".join(_ARTICLES.sub(" ", folded.translate(_PUNCTUATION)).split())
    return bare or folded


def exact_match(answer: str, accepted: Sequence[str]) -> bool:
    """Return whether the normalised answer equals any accepted answer, normalised too."""
    return normalise(answer) in {normalise(target) for target in accepted}


def token_f1(answer: str, accepted: Sequence[str]) -> float:
    """Return the best word overlap (F1) with any accepted answer, normalised, in [0, 1]."""
    return max(_f1(normalise(answer).split(), normalise(target).split()) for target in accepted)


def _f1(answer: list[str], target: list[str]) -> float:
    shared = sum((Counter(answer) & Counter(target)).values())
    if not shared:
        return 0.0
    return 2 * shared / (len(answer) + len(target))
