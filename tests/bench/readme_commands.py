"""The `nox -s bench` commands of README and guide, as words, and the README's facts file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = [
    page.read_text(encoding="utf-8")
    for page in sorted(ROOT.glob("docs/guide/*.md"))
    if page.stem != "adding-parts"  # its commands need the parts that it adds: test_new_part.py
]


def _blocks(language, text):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def _commands():
    """Return what follows `nox -s bench --` in the shell blocks, each once, the README's first."""
    shown = "".join(block for text in (README, *GUIDE) for block in _blocks("sh", text))
    typed = re.findall(r"nox -s bench(?: -- (.*))?$", shown, flags=re.MULTILINE)
    return [shlex.split(words) for words in dict.fromkeys(typed)]


COMMANDS = _commands()
RUNS = [words for words in COMMANDS if not words or words[0].startswith("-")]
"""The noxfile takes words without a command's name as `run`."""

[FACTS] = _blocks("csv", README)
