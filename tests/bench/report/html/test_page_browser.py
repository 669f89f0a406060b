"""A made-up page in a real browser: sorts, filters, searches, and shows hostile text as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.report.html.page import leaderboard_html
from bench.report.leaderboard.load import load_leaderboard
from tests.bench.browser import needs_browser, outcome, steered
from tests.bench.report_cells import fill, make_cell

EVIL = "</script><script>window.evil = 1</script><img src=x onerror='window.evil = 2'>\u202eabc"
STEPS = """
sort(0);
out.descending = seen();
sort(0);
out.ascending = seen();
filterBy("PISSA");
out.filtered = seen();
out.all = count();
set("text", "country 7?");
out.searched = count();
set("method", "lora");
out.oneMethod = count();
set("text", "");
set("fate", "2");
out.lost = [count(), [...new Set(all("#facts-found tr").map((r) => r.cells[6].textContent))]];
set("fate", "");
set("bucket", "0");
out.nearest = count();
set("bucket", "");
set("method", "");
document.getElementById("facts-more").click();
out.rows = all("#facts-found tr").length;
out.evil = window.evil ?? null;
out.evilShown = document.getElementById("facts-found").textContent.includes("<" + "/script>");
out.wide = wide();
"""


def page_with_steps(folder: Path) -> Path:
    cells = []
    for method, accuracy in (("lora", 0.6), ("dora", 0.9), ("pissa", 0.2)):
        record, rows = make_cell(spec={"method": method}, accuracy=accuracy)
        rows[3] = rows[3].model_copy(update={"answer_after": EVIL, "question": EVIL})
        cells.append((record, rows))
    text = leaderboard_html(load_leaderboard(fill(folder, cells)), [])
    assert "\u202e" not in text
    path = folder / "leaderboard.html"
    path.write_text(steered(text, STEPS), encoding="utf-8")
    return path


@needs_browser
@pytest.mark.integration
def test_the_page_works_in_a_browser(tmp_path):
    found = outcome(page_with_steps(tmp_path), tmp_path / "profile", 1280)
    assert found["errors"] == []
    assert found["console"] == []
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
