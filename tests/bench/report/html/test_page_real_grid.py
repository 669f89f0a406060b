"""The page of a real grid in a real browser: the committed cells, their studies, every link."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest

from bench.report.plots import PLOTS
from bench.report.write import ReportFiles, write_report
from bench.store.store import ResultsStore
from scripts.pack_results import write_packed
from tests.bench.browser import needs_browser, outcome, steered

EXAMPLE = Path(__file__).parents[4] / "results" / "example"
DRAWN = ("pareto", "layers")
"""A plot that the page's own pictures replace and one that it embeds; others are alike."""

STEPS = """
const numbers = (column) => rows().map((row) => Number(row.cells[column].dataset.sort));
out.labels = seen();
sort(1);
out.sorted = [numbers(2)];
sort(1);
out.sorted.push(numbers(2));
filterBy("CORDA");
out.filtered = seen();
filterBy("");
out.unfiltered = seen();
out.all = count();
set("text", "Qatar");
out.searched = [count(), all("#facts-found tr").every((row) => row.textContent.includes("Qatar"))];
set("text", "");
set("fate", "0");
out.learned = count();
document.getElementById("facts-filters").reset();
await new Promise((done) => setTimeout(done));
out.reset = count();
out.followed = all("a[href^='#']").map((link) => {
  link.click();
  const top = document.querySelector(`[id="${link.hash.slice(1)}"]`)?.getBoundingClientRect().top;
  const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
  return location.hash === link.hash && (Math.abs(top) < 2 || atEnd);
});
out.addresses = all("a:not([href^='#'])").map((link) => link.getAttribute("href"));
await new Promise((go) => document.readyState === "complete" ? go() : addEventListener("load", go));
all("img").forEach((image) => { image.loading = "eager"; }); // else only those in sight are there
await Promise.all(all("img").map((image) => image.complete || new Promise((go) => {
  image.onload = image.onerror = go;
})));
// decode() of a PNG takes real time, in which the browser's virtual time runs out.
all("img").forEach((i) => document.createElement("canvas").getContext("2d").drawImage(i, 0, 0));
out.images = all("img").map((i) => [i.src.slice(0, 5), i.naturalWidth > 0, i.alt !== ""]);
out.wide = wide();
const regions = all("table.board").map((table) => table.parentElement);
out.cut = regions.filter((region) => region.scrollWidth > region.clientWidth).length;
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> ReportFiles:
    """The report of the committed cells of many methods, with the committed studies."""
    folder = tmp_path_factory.mktemp("real")
    stores = [ResultsStore(EXAMPLE / "semantics")]
    found = {r.cell_id: store for store in stores for r in store.records().records}
    write_packed(
        folder,
        {cell_id: store.content(cell_id) for cell_id, store in found.items()},
        {cell_id: store.fact_table(cell_id) for cell_id, store in found.items()},
    )
    (folder / "studies").mkdir()
    for path in (EXAMPLE / "studies").glob("*.*"):
        shutil.copy(path, folder / "studies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.report.plots.PLOTS", [k for k in PLOTS if k.name in DRAWN])
        return write_report(folder)


@needs_browser
@pytest.mark.integration
@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_of_a_real_grid_works_and_all_its_links_lead_somewhere(report, tmp_path, width):
    folder = report.html.parent
    page = folder / f"steered-{width}.html"
    page.write_text(steered(report.html.read_text(encoding="utf-8"), STEPS), encoding="utf-8")
    found = outcome(page, tmp_path / "profile", width)
    assert (found["errors"], found["console"]) == ([], [])
    labels, corda = found["labels"], [name for name in found["labels"] if "corda" in name]
    assert len(labels) == len(report.board.rows) > 10
    descending, ascending = found["sorted"]
    assert descending == sorted(descending, reverse=True)
    assert ascending == sorted(ascending)
    assert len(set(ascending)) > 5
    assert sorted(found["filtered"]) == sorted(corda)
    assert 0 < len(corda) < len(found["unfiltered"]) == len(labels)
    cells = [cell for row in report.board.rows for cell in row.cells]
    check_explorer(found, sum(len(cell.rows) for cell in cells))
    assert len(found["followed"]) >= 3
    assert all(found["followed"]), "every link within the page leads to what it names"
    check_files(folder, found["addresses"])
    assert len(report.plots) == 2 * len(DRAWN), "as files there are all of them"
    assert len(found["images"]) == 1 + 3, "one plot and three studies"
    assert all(image == ["data:", True, True] for image in found["images"])
    assert found["wide"] == 0, "no horizontal scrolling of the page itself"
    assert width < 1280 or found["cut"] == 0, "all columns are in sight"


def check_explorer(found, answers):
    assert found["all"].startswith(f"{answers} of {answers} answers")
    searched, all_have_it = found["searched"]
    assert 0 < int(searched.split()[0]) < answers
    assert all_have_it
    assert 0 < int(found["learned"].split()[0]) < answers
    assert found["reset"] == found["all"]


def check_files(folder, addresses):
    """Check that links lead to files beside the page, and that they hold something to read."""
    studies = ("calibration", "interference", "placement")
    assert addresses == [f"studies/{name}.{form}" for name in studies for form in ("md", "csv")]
    for address in addresses:
        text = (folder / unquote(address)).read_text(encoding="utf-8")
        assert text.startswith("# " if address.endswith(".md") else "setting,") or "," in text
