"""Headless Chromium as tests use it: opens a page, runs steps in it, returns what they found."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
ERRORS = (
    "<script>window.errors = []; addEventListener('error', (e) => errors.push(e.message));</script>"
)
START = """
<script type="module">
const all = (selector) => [...document.querySelectorAll(selector)];
const board = () => all("table.board")[0];
const rows = () => [...board().tBodies[0].rows];
const seen = () => rows().filter((r) => !r.hidden).map((r) => r.cells[0].textContent);
const sort = (column) => board().querySelectorAll("th button")[column].click();
const filterBy = (text) => {
  const field = document.querySelector("input.filter");
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
};
const set = (name, value) => {
  const field = document.getElementById("facts-filters").elements[name];
  field.value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
};
const count = () => document.getElementById("facts-count").textContent;
const wide = () => document.documentElement.scrollWidth - document.documentElement.clientWidth;
const out = {};
"""
END = """
out.errors = errors;
document.documentElement.dataset.outcome = JSON.stringify(out);
</script>
"""


def steered(page: str, steps: str) -> str:
    """Return a page that runs steps, which fill `out`, when it is opened."""
    script = f"{START}{steps}{END}</body>"
    return page.replace("<head>", f"<head>{ERRORS}", 1).replace("</body>", script, 1)


def outcome(page: Path | str, profile: Path, width: int) -> dict:
    """Open a page, a file or an address, and return what its steps found and its console said."""
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [
        "--enable-logging=stderr",
        "--virtual-time-budget=20000",
        f"--user-data-dir={profile}",
    ]
    command += [f"--window-size={width},900", page if isinstance(page, str) else page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    found = re.search(r'data-outcome="([^"]*)"', done.stdout)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert found, f"the page's scripts did not come to their end: {console}"
    return {**json.loads(html.unescape(found[1])), "console": console}


@contextmanager
def opened(
    page: Path, width: int = 1280, scheme: str = "light", height: int = 900, address: str = ""
) -> Iterator[tuple[Page, list[str]]]:
    """Open a page and yield it with the lines of its console, to be steered by mouse and keys.

    Args:
        page: The file.
        width: Of the window, in pixels.
        scheme: `light` or `dark`.
        height: Of the window, in pixels.
        address: What follows the file's name, from `#` on.
    """
    from playwright.sync_api import sync_playwright

    said: list[str] = []
    with sync_playwright() as driver:
        switches = ["--no-sandbox", "--disable-gpu"]
        browser = driver.chromium.launch(executable_path=BROWSER, args=switches)
        size = {"width": width, "height": height}
        tab = browser.new_context(viewport=size, color_scheme=scheme).new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto(page.as_uri() + address)
        yield tab, said
        browser.close()


def eventually(tab: Page, expression: str, given: object = None) -> object:
    """Return what an expression of a page is once it is truthy.

    The driver's own way of waiting evaluates texts within the page, which the page forbids.

    Args:
        tab: The opened page.
        expression: JavaScript; a function gets `given`.
        given: Handed to it.
    """
    end = time.monotonic() + 60
    while not (found := tab.evaluate(expression, given)):
        assert time.monotonic() < end, f"never came true: {expression}"
        time.sleep(0.05)
    return found
