"""Make text safe for records, logs and terminals: no hub tokens, no control characters."""

from __future__ import annotations

import os
import re
import unicodedata
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN")
_PLACES = ("HF_TOKEN_PATH", "HF_HOME", "HOME")
"""Variables that say where the hub's client stores a token."""

_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
_SHORTEST = 8
"""A value shorter than this is no token, and would blot out ordinary words."""

_STEERING = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
"""Unicode categories of characters that can move the cursor, reorder a line or end it."""

_JOINERS = "\u200c\u200d"  # Written in Persian and Indic words and in emoji; harmless.

HIDDEN = "[hub token]"


def without_secrets(text: str) -> str:
    """Replace hub tokens in a text: those of the environment, and whatever looks like one."""
    if len(text) < _SHORTEST:  # as most answers; to ask the environment takes longer than the rest
        return text
    for secret in _secrets(*map(os.environ.get, (*_VARIABLES, *_PLACES))):
        text = text.replace(secret, HIDDEN)
    return _TOKEN.sub(HIDDEN, text) if "hf_" in text else text


@lru_cache(maxsize=8)  # a report makes a million texts safe: the token's file is read once
def _secrets(*environment: str | None) -> tuple[str, ...]:
    *found, path, folder, _ = (value or "" for value in environment)
    file = Path(path or Path(folder or Path.home() / ".cache" / "huggingface") / "token")
    with suppress(OSError, UnicodeDecodeError):
        found.append(file.read_text(encoding="utf-8"))
    return tuple(secret for secret in map(str.strip, found) if len(secret) >= _SHORTEST)


def safe_text(text: str, *, breaks: bool = False) -> str:
    """Return a text that is safe to show: without tokens and characters that steer a terminal.

    Args:
        text: Any text, such as a model's answer or an error message.
        breaks: Whether to keep line breaks; by default they are escaped, too.
    """
    text = without_secrets(text)
    if text.isprintable():  # as nearly every text
        return text
    kept = _JOINERS + "\n" if breaks else _JOINERS
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _STEERING and character not in kept
        else character
        for character in text
    )
