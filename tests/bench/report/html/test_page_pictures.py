"""The page's pictures in a real browser, steered by mouse and keys, against their cells."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from bench.report.html.page import leaderboard_html
from bench.report.leaderboard.board import Leaderboard
from bench.report.leaderboard.load import load_leaderboard
from bench.report.tables.columns import cost_columns, quality_columns
from tests.bench.browser import eventually, needs_browser, opened
from tests.bench.report_cells import fill, make_cell

pytestmark = [needs_browser, pytest.mark.integration]

ACCURACY = {"lora": 0.6, "dora": 0.9, "pissa": 0.3}
SEEDS = (0, 1, 2)

TOLD = """(before) => {
  const text = document.querySelector("g[data-mark=tip]")?.textContent;
  return text && text !== before ? text : null;
}"""
"""What the tip of the first picture says, once it says something else than before."""


@pytest.fixture(scope="module")
def board(tmp_path_factory) -> Leaderboard:
    cells = [
        make_cell(spec={"method": method, "seed": seed}, accuracy=accuracy, drift=0.1 * accuracy)
        for method, accuracy in ACCURACY.items()
        for seed in SEEDS
    ]
    return load_leaderboard(fill(tmp_path_factory.mktemp("pictures"), cells))


@pytest.fixture(scope="module")
def page(board, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "leaderboard.html"
    path.write_text(leaderboard_html(board, []), encoding="utf-8")
    return path


def picture(tab, number):
    """Return a picture, drawn: 1 any two columns, 2 paths, 3 distances."""
    found = tab.locator(".picture").nth(number - 1)
    found.scroll_into_view_if_needed()
    found.locator("svg[role=img]").first.wait_for()
    return found


def listed(found) -> list[list[str]]:
    """Return the numbers that a picture lists, row by row."""
    details = found.locator("details.numbers")
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    details.locator("td").first.wait_for()
    return details.locator("tbody tr").evaluate_all(
        "rows => rows.map((row) => [...row.cells].map((cell) => cell.textContent))"
    )


def address(tab, part: str) -> str:
    """Return the address once it has a part: it is written when nothing changed for a moment."""
    eventually(tab, "(part) => location.hash.includes(part)", part)
    return tab.evaluate("location.hash")


def row_of(board, label):
    return next(row for row in board.rows if row.label == label)


def test_hovering_over_a_mark_tells_its_method_values_and_cells(board, page):
    with opened(page) as (tab, said):
        found = picture(tab, 1)
        marks = found.locator("svg[role=img] g[data-mark=dot] path")
        assert marks.count() == len(ACCURACY)
        told = [""]
        for place in range(marks.count()):
            marks.nth(place).hover(force=True)
            told.append(eventually(tab, TOLD, told[-1]))
        assert said == []
    for row in board.rows:
        (text,) = [text for text in told if text.startswith(f"\u200b{row.label}\u200b")]
        assert all(cell.record.cell_id in text for cell in row.cells)
        assert "seeds 0, 1, 2" in text


def test_a_click_on_a_mark_selects_its_method_in_tables_pictures_and_facts(page):
    with opened(page) as (tab, _):
        mark = picture(tab, 1).locator("svg[role=img] g[data-mark=dot] path").first
        mark.click(force=True)
        label = tab.locator("#selected-names").text_content()
        assert label in ACCURACY
        rows = tab.locator("table.board tbody tr.selected th").all_text_contents()
        assert rows == [label, label], "in both tables"
        assert tab.locator(".legend [aria-pressed=true]").all_text_contents() == [label]
        assert tab.locator("#facts-count").text_content().startswith(f"{64 * len(SEEDS)} of ")
        assert tab.locator("#facts-filters select[name=method]").input_value() == label
        assert address(tab, "m=") == f"#m={label}"
        tab.keyboard.press("Escape")
        assert tab.locator("tr.selected").count() == 0
        assert tab.locator("#selected").is_hidden()


def test_any_two_columns_are_drawn_with_the_tables_own_numbers(board, page):
    section = board.sections[0]
    columns = [*quality_columns(section), *cost_columns(section)]
    wanted = {"reliability (%)": None, "train time": None}
    for column in columns:
        if column.header in wanted:
            wanted[column.header] = column
    with opened(page) as (tab, said):
        found = picture(tab, 1)
        for place, name in enumerate(wanted):
            found.locator("select").nth(place).select_option(name)
        lines = listed(found)
        assert said == []
        assert address(tab, "y-1=") == "#x-1=reliability+%28%25%29&y-1=train+time"
    for label, seeds, *values in lines:
        row = row_of(board, label)
        assert seeds == "0 1 2"
        x, y = (column.show(row) for column in wanted.values())
        shown = [100 * x.number, 100 * x.estimate.interval.low, 100 * x.estimate.interval.high]
        assert [float(value) for value in values[:3]] == pytest.approx(shown, rel=1e-3)
        assert float(values[3]) == pytest.approx(y.number, rel=1e-3)
        cells = [cell.record.cell_id for cell in row.cells]
        assert values[6].split() == cells, "those who cannot hover find the cells here"


def test_the_dose_is_scrubbed_by_keys_and_shows_what_was_learned_by_then(board, page):
    with opened(page) as (tab, _):
        found = picture(tab, 2)
        found.locator("select").nth(0).select_option("epoch")
        found.locator("select").nth(1).select_option("learned-all")
        slider = found.locator("input[type=range]")
        slider.focus()
        tab.keyboard.press("Home")
        for _ in range(3):
            tab.keyboard.press("ArrowRight")
        assert found.locator("output").text_content() == "3 of 8"
        label = found.locator("svg[role=img]").first.get_attribute("aria-label")
        small = found.locator("g[data-mark=dot]").first.locator("circle, path").count()
        lines = listed(found)
        address(tab, "dose-1=3")
    assert "after epoch 3" in label
    assert small == 4 * len(ACCURACY), "epochs 0 to 3 of each method"
    for label, epoch, learned, *_ in lines:
        epochs = [cell.rows["epochs_to_learn"] for cell in row_of(board, label).cells]
        expected = 100 * np.mean([(found <= int(epoch)).mean() for found in epochs])
        assert float(learned) == pytest.approx(expected, rel=1e-3)


def test_a_brushed_range_of_distances_lists_its_facts(board, page):
    with opened(page) as (tab, _):
        found = picture(tab, 3)
        strip = found.locator("svg.strip")
        strip.scroll_into_view_if_needed()
        box = strip.bounding_box()
        middle = box["y"] + box["height"] / 2
        tab.mouse.move(box["x"] + 0.3 * box["width"], middle)
        tab.mouse.down()
        tab.mouse.move(box["x"] + 0.7 * box["width"], middle, steps=4)
        tab.mouse.up()
        fields = tab.locator("#facts-filters")
        low, high = (float(fields.locator(f"[name={end}]").input_value()) for end in ("from", "to"))
        count = tab.locator("#facts-count").text_content()
        assert count.split(",")[0] in found.locator("[role=status]").text_content()
        kept = address(tab, "to=")
    distances = np.concatenate([c.rows["distance_before"] for row in board.rows for c in row.cells])
    shown = np.round(distances.astype(float), 3)
    expected = int(((shown >= low) & (shown <= high)).sum())
    assert 0 < expected < len(shown)
    assert count.startswith(f"{expected} of {len(shown)} answers")
    with opened(page, address=kept) as (tab, _):
        assert tab.locator("#facts-count").text_content() == count
        width = picture(tab, 3).locator("svg.strip .selection").get_attribute("width")
        assert float(width) == pytest.approx(0.4 * box["width"], rel=0.02)


def test_methods_look_as_in_the_files_of_plots(page):
    from bench.report.plots._style import style_of

    text = page.read_text(encoding="utf-8")
    light = dict(re.findall(r"--look-(\d+): (#[0-9A-Fa-f]{6})", text.split("@media")[0]))
    assert light == {str(place): style_of(place).color for place in range(11)}
