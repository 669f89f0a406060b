"""The page in a real browser: sorts, filters, searches, follows its links, says no error.

The browser is driven by a script that is appended to the page; skipped where there is none.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.report.load import load_leaderboard
from bench.report.page import leaderboard_html
from tests.bench.report_cells import fill, make_cell

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)
EVIL = "</script><script>window.evil = 1</script><img src=x onerror='window.evil = 2'>\u202eabc"
ERRORS = (
    "<script>window.errors = []; addEventListener('error', (e) => errors.push(e.message));</script>"
)
STEPS = """
<script type="module">
const all = (selector) => [...document.querySelectorAll(selector)];
const labels = () => all("table.board")[0].querySelectorAll("tbody tr");
const seen = () => [...labels()].filter((r) => !r.hidden).map((r) => r.cells[0].textContent);
const set = (name, value) => {
  const field = document.getElementById("facts-filters").elements[name];
  field.value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
};
const count = () => document.getElementById("facts-count").textContent;
const out = { before: seen() };
all("table.board")[0].querySelectorAll("th button")[0].click();
out.descending = seen();
all("table.board")[0].querySelectorAll("th button")[0].click();
out.ascending = seen();
const filter = document.querySelector("input.filter");
filter.value = "PISSA";
filter.dispatchEvent(new Event("input", { bubbles: true }));
out.filtered = seen();
out.all = count();
set("text", "country 7?");
out.searched = count();
set("method", "lora");
out.oneMethod = count();
set("text", "");
set("fate", "2");
out.lost = [count(), [...new Set(all("#facts-found tr").map((r) => r.cells[4].textContent))]];
set("fate", "");
set("bucket", "0");
out.nearest = count();
set("bucket", "");
set("method", "");
document.getElementById("facts-more").click();
out.rows = all("#facts-found tr").length;
out.evil = window.evil ?? null;
out.evilShown = document.getElementById("facts-found").textContent.includes("<" + "/script>");
out.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
out.anchors = all("a[href^='#']").map((a) => document.getElementById(a.hash.slice(1)) !== null);
out.errors = errors;
document.documentElement.dataset.outcome = JSON.stringify(out);
</script>
"""


def page_with_steps(folder: Path) -> Path:
    cells = []
    for method, accuracy in (("lora", 0.6), ("dora", 0.9), ("pissa", 0.2)):
        record, rows = make_cell(spec={"method": method}, accuracy=accuracy)
        rows[3] = rows[3].model_copy(update={"answer_after": EVIL, "question": EVIL})
        cells.append((record, rows))
    text = leaderboard_html(load_leaderboard(fill(folder, cells)), [])
    assert "\u202e" not in text
    steered = text.replace("<head>", f"<head>{ERRORS}", 1).replace("</body>", f"{STEPS}</body>", 1)
    path = folder / "leaderboard.html"
    path.write_text(steered, encoding="utf-8")
    return path


def outcome(page: Path, profile: Path, width: int) -> dict:
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={profile}", f"--window-size={width},900", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    found = re.search(r'data-outcome="([^"]*)"', done.stdout)
    assert found, "the page's scripts did not come to their end"
    return json.loads(html.unescape(found[1]))


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.integration
@pytest.mark.parametrize("width", [1200, 500])
def test_the_page_works_in_a_browser(tmp_path, width):
    found = outcome(page_with_steps(tmp_path), tmp_path / "profile", width)
    assert found["errors"] == []
    assert found["evil"] is None
    assert found["evilShown"], "hostile text is shown as text"
    assert found["descending"] == ["pissa", "lora", "dora"]
    assert found["ascending"] == ["dora", "lora", "pissa"]
    assert found["filtered"] == ["pissa"]
    assert found["all"] == "192 of 192 answers, the first 100 shown"
    assert found["searched"] == "3 of 192 answers"
    assert found["oneMethod"] == "1 of 192 answers"
    lost, fates = found["lost"]
    assert fates == ["lost"]
    assert 0 < int(lost.split()[0]) < 64
    assert 0 < int(found["nearest"].split()[0]) < 64
    assert found["rows"] == 192
    assert found["wide"] == 0, "no horizontal scrolling of the page itself"
    assert found["anchors"]
    assert all(found["anchors"])
