"""The page for everyone: axe-core finds nothing in four sizes, in light and in dark."""

from __future__ import annotations

import pytest

from bench.report.write import write_report
from tests.bench.browser import eventually, needs_browser, opened
from tests.bench.report_grid import GridShape, write_grid

pytestmark = [needs_browser, pytest.mark.integration]

SIZES = {360: "dark", 768: "light", 1280: "dark", 1920: "light"}
BYTES = 4_000_000
SECONDS = 1.0


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a grid of 20 cells, with all its plots."""
    shape = GridShape(models=1, tasks=1, methods=10, seeds=2)
    return write_report(write_grid(tmp_path_factory.mktemp("access") / "results", shape)).html


def test_the_page_of_twenty_cells_is_small(page):
    assert page.stat().st_size < BYTES


def test_the_page_of_twenty_cells_takes_little_work_to_open(page):
    """CPU time of the page's thread, which other processes do not prolong."""
    with opened(page, address="#m=method-03") as (tab, _):
        session = tab.context.new_cdp_session(tab)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        tab.reload()
        tab.locator(".legend button").first.wait_for()
        found = session.send("Performance.getMetrics")["metrics"]
    spent = {metric["name"]: metric["value"] for metric in found}["TaskDuration"]
    assert 0 < spent < SECONDS


@pytest.mark.machine
def test_the_page_of_twenty_cells_opens_at_once(page):
    with opened(page) as (tab, _):
        timing = "performance.getEntriesByType('navigation')[0].loadEventEnd"
        assert eventually(tab, timing) < 1000 * SECONDS


@pytest.mark.parametrize("width", SIZES)
def test_axe_finds_no_issue_and_nothing_is_wider_than_the_window(page, width):
    from axe_playwright_python.sync_playwright import Axe

    with opened(page, width, SIZES[width]) as (tab, said):
        for place in tab.locator(".picture").all():
            place.scroll_into_view_if_needed()
            place.locator("svg[role=img]").first.wait_for()
            place.locator("details.numbers summary").click()
        tab.locator(".legend button").first.click()
        tab.locator("summary", has_text="Columns").first.click()
        tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        found = Axe().run(tab).response["violations"]
        wide = tab.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert said == []
    issues = {issue["id"]: [node["html"][:200] for node in issue["nodes"][:3]] for issue in found}
    assert issues == {}, "the moderate and minor ones included"
    assert wide == 0
