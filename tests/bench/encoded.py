"""Questions with their targets as examples, for tests that need no task."""

from __future__ import annotations

from bench.inference.encoding import encode_all
from tasks.prompt import target_text


def encode(tokenizer, prompt, answer):
    """Encode one prompt with the target of an answer."""
    return encode_all(tokenizer, [(prompt, target_text(answer))])[0]
