"""The pages in the repository: their links lead somewhere, and every picture is on one of them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def linked() -> dict[Path, set[Path]]:
    """By page the files of the repository that it links to."""
    pages = [path for path in tracked() if path.suffix == ".md"]
    if not pages:
        pytest.skip("not a git checkout")
    found = {}
    for page in pages:
        links = LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
        inside = [link.partition("#")[0] for link in links if "://" not in link]
        found[page] = {(page.parent / unquote(link)).resolve() for link in inside if link}
    return found


def test_every_link_of_a_page_leads_to_a_file(linked):
    missing = {(page.name, link) for page in linked for link in linked[page] if not link.exists()}
    assert missing == set()


def test_every_picture_is_shown_by_a_page_and_there_in_one_format(linked):
    pictures = {path for path in tracked() if path.suffix in {".png", ".svg"}}
    assert pictures
    assert pictures - set().union(*linked.values()) == set()
    assert len({path.with_suffix("") for path in pictures}) == len(pictures)
