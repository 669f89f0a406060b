"""What people read of a grid, surface by surface, as tests/snapshots has it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from bench.cli import main
from tests.bench.report_cells import failed_cell, fill, make_cell, make_forgetting

CORDA = "corda[mode=kpm]"


def cells():
    """Three seeds on one task; on another one seed, with all that remarks are made of."""
    for method, accuracy, lost in (("lora", 0.5, 0.02), (CORDA, 0.9, 0.1)):
        for seed in range(3):
            spec = {"method": method, "seed": seed}
            yield make_cell(n=16, accuracy=accuracy, lost=lost, spec=spec)
    yield failed_cell(method="dora", facts=16, reason="needs 9 GiB")
    told = {"warnings": ["few tokens"], "identity": False, "init_difference": 0.5}
    floor = [make_forgetting(at_floor=True, lost=0.0)]
    for method, accuracy in (("lora", 0.9), ("pissa+reweight[tau=0.5]", 0.6)):
        spec = {"method": method, "task": "elements"}
        yield make_cell(n=16, accuracy=accuracy, updates=4, forgetting=floor, spec=spec, **told)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("wording") / "results", cells())


@pytest.fixture
def said(results, capsys, monkeypatch):
    """Type a command on the results; return what it prints, without what differs between runs."""
    monkeypatch.setenv("COLUMNS", "100")

    def type_(*command):
        assert main([*command, "--out", str(results)]) == 0
        return capsys.readouterr().out.replace(str(results), "RESULTS")

    return type_


UNSEEN = ("script", "style", "svg")
BLOCKS = (
    *UNSEEN,
    "title",
    "h1",
    "h2",
    "h3",
    "h4",
    "p",
    "div",
    "li",
    "tr",
    "summary",
    "option",
    "label",
)


class Visible(HTMLParser):
    """The text of a page: a line for each heading, paragraph and row."""

    def __init__(self):
        super().__init__()
        self.lines, self._line, self._unseen = [], [], 0

    def handle_starttag(self, tag, attrs):
        self._unseen += tag in UNSEEN
        self._end_line(tag)

    def handle_endtag(self, tag):
        self._unseen -= tag in UNSEEN
        self._end_line(tag)

    def handle_data(self, data):
        if not self._unseen and data.strip():
            self._line.append(" ".join(data.split()))

    def _end_line(self, tag):
        if tag in BLOCKS and self._line:
            self.lines.append("  ".join(self._line))
            self._line = []


def visible(page):
    parser = Visible()
    parser.feed(page)
    return "\n".join(parser.lines)


def test_the_report(said, results, snapshot):
    snapshot("terminal", "report", said("report", "--plots", "none"))
    for surface, name in (("markdown", "leaderboard.md"), ("latex", "leaderboard.tex")):
        snapshot(surface, name, (results / name).read_text(encoding="utf-8"))
    page = (results / "leaderboard.html").read_text(encoding="utf-8")
    snapshot("page", "leaderboard.html", visible(page))


@pytest.mark.parametrize(
    "limits", [(), ("--max-forgetting", "0.05"), ("--budget-memory", "1GiB")], ids=" ".join
)
def test_a_recommendation(said, snapshot, limits):
    snapshot("recommend", " ".join(("recommend", *limits)), said("recommend", *limits))


def test_a_cell_that_is_shown(said, results, snapshot):
    shown = [next(cells())[0], failed_cell(method="dora", facts=16, reason="needs 9 GiB")[0]]
    for record in shown:
        text = said("show", record.cell_id).replace(record.cell_id, "CELL")
        snapshot("show", str(record.status), text)


def test_a_plan(tiny_folder, facts_file, tmp_path, capsys, monkeypatch, snapshot):
    monkeypatch.setenv("COLUMNS", "400")
    grid = ["--methods", "lora,pissa[r=4]", "--seeds", "0,1", "--workers", "1", "--device", "cpu"]
    files = ["--tasks", str(facts_file), "--models", str(tiny_folder), "--out", str(tmp_path)]
    assert main(["plan", *grid, *files]) == 0
    out = capsys.readouterr().out
    for found, written in ((str(facts_file), "FACTS"), (str(tiny_folder), "MODEL")):
        out = out.replace(found, written)
    # Wide enough for any path; the width of columns and the ids depend on the paths.
    rows = (" ".join(line.split()) for line in out.splitlines() if "───" not in line)
    snapshot("plan", "a small grid", re.sub(r"\b[0-9a-f]{8}\b", "CELL", "\n".join(rows)))


def test_what_can_be_named(capsys, monkeypatch, snapshot):
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["list"]) == 0
    snapshot("list", "python -m bench list", capsys.readouterr().out)
