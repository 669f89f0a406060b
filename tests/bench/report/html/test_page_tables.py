"""The page's tables in a real browser: what is chosen, its address, exports, without scripts."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench.report.html.page import leaderboard_html
from bench.report.leaderboard.load import load_leaderboard
from bench.report.tables.columns import quality_columns
from tests.bench.browser import eventually, needs_browser, opened
from tests.bench.report_cells import failed_cell, fill, make_cell

pytestmark = [needs_browser, pytest.mark.integration]

ACCURACY = {"lora": 0.6, "dora": 0.9, "pissa": 0.3}
HIDDEN = "generality (%)"


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    cells = [make_cell(spec={"method": m}, accuracy=a) for m, a in ACCURACY.items()]
    folder = fill(tmp_path_factory.mktemp("tables"), [*cells, failed_cell(method="=1+1")])
    return load_leaderboard(folder)


@pytest.fixture(scope="module")
def page(board, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "leaderboard.html"
    path.write_text(leaderboard_html(board, []), encoding="utf-8")
    return path


def methods(tab) -> list[str]:
    return tab.locator("table.board").first.locator("tbody tr:visible th").all_text_contents()


def state(tab) -> dict:
    """Return all that a person has chosen, as the page shows it."""
    shown = tab.locator("table.board").first.locator("thead th:visible").all_text_contents()
    fields = tab.locator("#facts-filters")
    return {
        "methods": methods(tab),
        "columns": shown,
        "sorted": tab.locator(
            "th[aria-sort=ascending], th[aria-sort=descending]"
        ).all_text_contents(),
        "selected": tab.locator("#selected-names").text_content(),
        "axes": [box.input_value() for box in tab.locator(".picture select").all()],
        "dose": tab.locator("input[type=range]").input_value(),
        "search": fields.locator("[name=text]").input_value(),
        "change": fields.locator("[name=fate]").input_value(),
        "count": tab.locator("#facts-count").text_content(),
    }


def choose_everything(tab) -> None:
    table = tab.locator("table.board").first
    table.get_by_role("button", name="reliability (%)").click()
    table.get_by_role("button", name="reliability (%)").click()
    tab.locator("summary", has_text="Columns").first.click()
    tab.get_by_label(HIDDEN).first.uncheck()
    tab.locator("input.filter").fill("ra")
    table.get_by_role("button", name="dora", exact=True).click()
    tab.locator(".picture select").first.select_option("drift (nats)")
    tab.locator("input[type=range]").fill("2")
    fields = tab.locator("#facts-filters")
    fields.locator("[name=text]").fill("country 1")
    fields.locator("[name=fate]").select_option("0")


def test_what_is_chosen_is_in_the_address_and_comes_back_from_it(page):
    with opened(page) as (tab, said):
        before = state(tab)
        choose_everything(tab)
        eventually(tab, "location.hash.includes('fate=0')")
        after, address = state(tab), tab.evaluate("location.hash")
        assert after["methods"] == ["lora", "dora"], "the least reliable first, pissa filtered out"
        assert not any(HIDDEN in header for header in after["columns"])
        assert all(after[key] != before[key] for key in before), "every choice shows"
        tab.locator("nav a", has_text="Facts").click()
        eventually(tab, "location.hash.startsWith('#explorer&')")
        followed = tab.evaluate("location.hash")
        assert said == []
    assert followed == f"#explorer&{address[1:]}", "a link within the page keeps what is chosen"
    with opened(page, address=followed) as (tab, said):
        assert state(tab) == after
        assert abs(tab.locator("#explorer").bounding_box()["y"]) < 2
        tab.evaluate("location.hash = '#m=lora'")
        eventually(tab, "document.getElementById('selected-names').textContent === 'lora'")
        assert {**state(tab), "selected": "", "count": ""} == {
            **before,
            "selected": "",
            "count": "",
        }
        assert said == []


def test_a_table_exports_what_it_shows_with_numbers_and_intervals(board, page, tmp_path):
    with opened(page) as (tab, _):
        tab.locator("summary", has_text="Columns").first.click()
        tab.get_by_label(HIDDEN).first.uncheck()
        with tab.expect_download() as download:
            tab.get_by_role("button", name="Export CSV of Learned").click()
        download.value.save_as(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["method"] for line in lines] == [
        row.label if row.cells else f"'{row.label}" for row in board.rows
    ], "no spreadsheet takes a method's name for a formula"
    assert HIDDEN not in lines[0]
    (column,) = [c for c in quality_columns(board.sections[0]) if c.header == "reliability (%)"]
    for line, row in zip(lines, board.rows, strict=True):
        if not row.cells:
            assert line["reliability (%)"] == ""
            continue
        found = column.show(row).estimate
        ends = (found.value, found.interval.low, found.interval.high)
        names = [f"reliability (%){end}" for end in ("", " low", " high")]
        exported = [float(line[name]) for name in names]
        assert exported == pytest.approx([100 * end for end in ends], rel=1e-5)


def test_facts_are_sorted_and_exported_as_they_are_found(page, tmp_path):
    with opened(page) as (tab, _):
        tab.locator("#facts-filters [name=method]").select_option("dora")
        tab.locator("table.facts").get_by_role("button", name="distance").click()
        with tab.expect_download() as download:
            tab.get_by_role("button", name="Export CSV of Facts").click()
        download.value.save_as(tmp_path / "facts.csv")
    with (tmp_path / "facts.csv").open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 64
    assert {line["method"] for line in lines} == {"dora, seed 0"}
    distances = [float(line["distance"].split()[0]) for line in lines]
    assert distances == sorted(distances, reverse=True)


def test_a_method_that_the_page_does_not_have_is_not_selected_by_an_address(page):
    with opened(page, address="#m=no-such-method&m=lora") as (tab, said):
        assert tab.locator("#selected-names").text_content() == "lora"
        assert tab.locator("#facts-count").text_content().startswith("64 of ")
        assert said == []


def test_hidden_columns_are_told_to_those_who_hear_the_page(page):
    with opened(page) as (tab, _):
        columns = tab.locator("summary", has_text="Columns").first
        columns.click()
        tab.get_by_label(HIDDEN).first.uncheck()
        assert columns.get_attribute("aria-label").startswith("Columns (1 hidden) of ")


def test_methods_are_selected_by_keys(page):
    with opened(page) as (tab, _):
        tab.locator(".legend button").first.focus()
        tab.keyboard.press("Enter")
        tab.keyboard.press("Tab")
        tab.keyboard.press("Space")
        assert len(tab.locator("#selected-names").text_content().split(", ")) == 2
        assert tab.locator(".legend [aria-pressed=true]").count() == 2
        assert tab.locator("#facts-count").text_content().startswith("128 of ")


def test_without_scripts_the_tables_are_there(board, page):
    from playwright.sync_api import sync_playwright

    from tests.bench.browser import BROWSER

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        tab = browser.new_context(java_script_enabled=False).new_page()
        tab.goto(page.as_uri())
        shown = tab.locator("table.board").first.inner_text()
        said = tab.locator("noscript").first.inner_text()
        browser.close()
    for column in quality_columns(board.sections[0]):
        for row in board.sections[0].done:
            assert all(part in shown for part in column.show(row).text.split(" ["))
    assert "plots/" in said
