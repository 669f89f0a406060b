"""What must not reach a record, a log or a terminal: hub tokens, and control characters."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN")
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
_SHORTEST = 8
"""A value shorter than this is no token, and would blot out ordinary words."""

HIDDEN = "[hub token]"


def without_secrets(text: str) -> str:
    """Return a text with hub tokens replaced, those of the environment and any that look so."""
    for secret in _secrets():
        text = text.replace(secret, HIDDEN)
    return _TOKEN.sub(HIDDEN, text)


def _secrets() -> list[str]:
    found = [os.environ.get(name, "") for name in _VARIABLES]
    path = Path(os.environ.get("HF_TOKEN_PATH") or _home() / "token")
    with suppress(OSError, UnicodeDecodeError):
        found.append(path.read_text(encoding="utf-8"))
    return [secret for secret in map(str.strip, found) if len(secret) >= _SHORTEST]


def _home() -> Path:
    given = os.environ.get("HF_HOME")
    return Path(given) if given else Path.home() / ".cache" / "huggingface"


def for_people(text: str) -> str:
    """Return a text that may be shown: no secret in it, nothing that could steer a terminal."""
    shown = (c if c.isprintable() or c == "\n" else _escaped(c) for c in without_secrets(text))
    return "".join(shown)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
