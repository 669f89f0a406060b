"""The wording of what people read, a file for each surface; `pytest --update-snapshots` writes it.

A test that pins wording renders a surface and hands it to `snapshot`; every other test asserts
facts. So a rewording is one regenerated file, which shows in a review what people will read.
Parts that no test renders any more go when all files are removed before they are written again.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import pytest
from filelock import FileLock

FOLDER = Path(__file__).parent
_HEADING = re.compile(r"^=== (.+) ===\n", flags=re.MULTILINE)


def pytest_addoption(parser):
    parser.addoption(
        "--update-snapshots",
        action="store_true",
        help="write what is shown now into tests/snapshots, and print what changed",
    )


@pytest.fixture
def snapshot(request, tmp_path_factory):
    """Compare a text with what a surface's file holds of it.

    `snapshot("help", "plan", text)` compares with the part `plan` of tests/snapshots/help.txt.
    """

    def compare(surface, part, text):
        # Where a test's files lie differs from run to run: only their names stay.
        text = re.sub(rf"{re.escape(str(tmp_path_factory.getbasetemp()))}\S*/", "TMP/", text)
        text = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
        if not request.config.getoption("--update-snapshots"):
            assert text == read(surface).get(part), (
                f"tests/snapshots/{surface}.txt says otherwise of '{part}'; if what is shown now "
                "is meant, run this test with --update-snapshots"
            )
            return
        changed = update(surface, part, text, tmp_path_factory.getbasetemp().parent)
        if changed:
            request.node.user_properties.append(("snapshot", changed))

    return compare


def read(surface):
    """Return the parts of a surface by name."""
    path = FOLDER / f"{surface}.txt"
    if not path.exists():
        return {}
    _, *found = _HEADING.split(path.read_text(encoding="utf-8"))
    return {name: text.strip("\n") for name, text in zip(found[::2], found[1::2], strict=True)}


def update(surface, part, text, locks):
    """Write a part and return how it differs from what was written, empty where it does not."""
    with FileLock(locks / f"snapshot-{surface}.lock"):  # tests run in several processes
        parts = read(surface)
        before = parts.get(part, "")
        parts[part] = text
        content = "\n\n".join(f"=== {name} ===\n{parts[name]}" for name in sorted(parts))
        (FOLDER / f"{surface}.txt").write_text(content + "\n", encoding="utf-8")
    if text == before:
        return ""
    changed = difflib.unified_diff(before.splitlines(), text.splitlines(), n=0, lineterm="")
    return "\n".join((f"{surface}.txt, {part}:", *list(changed)[2:]))


def pytest_terminal_summary(terminalreporter):
    """Print what an update changed; `user_properties` come back from processes of xdist, too."""
    for report in terminalreporter.getreports("passed"):
        for name, changed in report.user_properties:
            if name == "snapshot" and report.when == "call":
                terminalreporter.write_line(changed)
