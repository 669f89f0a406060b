"""The `nox -s bench` commands of the README, as words, and its facts file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def _blocks(language):
    pattern = rf"^```{language}\n(.*?)^```"
    return re.findall(pattern, README, flags=re.MULTILINE | re.DOTALL)


def _commands():
    """Return what follows `nox -s bench --` in the shell blocks."""
    typed = re.findall(r"nox -s bench(?: -- (.*))?$", "".join(_blocks("sh")), flags=re.MULTILINE)
    return [shlex.split(words) for words in typed]


COMMANDS = _commands()
RUNS = [words for words in COMMANDS if not words or words[0].startswith("-")]
"""The noxfile takes words without a command's name as `run`."""

[FACTS] = _blocks("csv")
