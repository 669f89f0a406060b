"""`report A B` as it is typed: what it writes, where, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.cli import main
from bench.store.records import Status
from tests.bench.browser import needs_browser, outcome, steered
from tests.bench.hostile_cells import EVIL, evil_cell
from tests.bench.report.changes.folders import answered, cells_of, two_folders

WRITTEN = {"changes.md", "changes.html", "changes.csv", "answers.csv"}


@pytest.fixture
def folders(tmp_path):
    a = [*cells_of("lora"), *cells_of("dora", 0.95)]
    b = [*cells_of("lora"), *cells_of("dora", 0.4, lost=0.3, drift=0.5)]
    return two_folders(tmp_path, a, b)


def contents(folder):
    """Every file of a folder, with its content."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_folders_are_compared_and_only_read(folders, tmp_path, capsys):
    a, b = folders
    before = contents(a), contents(b)
    assert main(["report", str(a), str(b), "--to", str(tmp_path / "new" / "changes")]) == 0
    assert (contents(a), contents(b)) == before
    assert {path.name for path in (tmp_path / "new" / "changes").iterdir()} == WRITTEN
    said = capsys.readouterr().out
    assert "▼" in said
    assert "changes.md" in said


def test_without_to_nothing_is_written(folders, tmp_path, capsys):
    before = contents(tmp_path)
    assert main(["report", *map(str, folders)]) == 0
    assert contents(tmp_path) == before
    assert "--to FOLDER" in capsys.readouterr().out


def test_the_same_folders_give_the_same_bytes(folders, tmp_path):
    for name in ("one", "other"):
        assert main(["report", *map(str, folders), "--to", str(tmp_path / name)]) == 0
    one, other = (contents(tmp_path / name) for name in ("one", "other"))
    assert [*one.values()] == [*other.values()]


def test_a_folder_may_be_compared_with_itself_and_written_elsewhere(folders, tmp_path, capsys):
    a = str(folders[0])
    assert main(["report", a, a, "--to", str(tmp_path / "changes")]) == 0
    assert "Nothing changed" in capsys.readouterr().out
    assert "Nothing changed" in (tmp_path / "changes" / "changes.html").read_text()


@pytest.mark.parametrize("inside", ["", "changes", "x/y"])
def test_folder_a_is_never_written_into(folders, inside, capsys):
    a, b = folders
    before = contents(a)
    assert main(["report", str(a), str(b), "--to", str(a / inside)]) == 2
    assert "only read" in capsys.readouterr().err
    assert contents(a) == before


def test_one_folder_is_reported_as_with_out(folders, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("bench.cli.report.print_report", lambda out, *_: asked.append(out))
    assert main(["report", str(folders[0])]) == 0
    assert main(["report", "--out", str(folders[1])]) == 0
    assert asked == [*folders]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["A", "B", "A"], "3 folders"),
        (["A", "B", "--out", "A"], "--out does not go with two folders"),
        (["A", "B", "--reference", "lora"], "--reference does not go with two folders"),
        (["A", "B", "--plots", "none"], "--plots does not go with two folders"),
        (["A", "--to", "x"], "give A and B"),
        (["A", "--out", "B"], "give one of them"),
        (["A", "empty"], "no cells in"),
        (["nowhere", "B"], "no cells in"),
        (["A", "B", "--to", "file/x"], "cannot write the comparison"),
        (["A", "broken"], "can be read"),
    ],
    ids=" ".join,
)
def test_a_wrong_call_is_one_line_that_says_what_is_wrong(folders, tmp_path, typed, said, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "broken" / "cells").mkdir(parents=True)
    (tmp_path / "broken" / "cells" / "x.json").write_text("{")
    named = {"A": str(folders[0]), "B": str(folders[1])}
    places = {name: str(tmp_path / name) for name in ("empty", "nowhere", "file/x", "broken", "x")}
    before = contents(tmp_path)
    assert main(["report", *({**named, **places}.get(word, word) for word in typed)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
    assert contents(tmp_path) == before


def written(tmp_path, a, b):
    """Compare cells; return the path of the page."""
    folders = two_folders(tmp_path, a, b)
    assert main(["report", *map(str, folders), "--to", str(tmp_path / "changes")]) == 0
    return tmp_path / "changes" / "changes.html"


def test_what_a_model_or_a_file_says_is_escaped_everywhere(tmp_path, capsys):
    method = "x<img src=http://evil onerror=alert(1)>"
    evil = evil_cell()
    other = answered(evil, 0, answer_after=f"{EVIL}!", correct_after=False)
    named = cells_of(method, seeds=(0,)), cells_of(method, 0.2, (0,))
    failed = named[1][0][0].model_copy(update={"cell_id": "e" * 32, "status": Status.FAILED})
    b = [other, *named[1], (failed.model_copy(update={"reason": EVIL}), [])]
    page = written(tmp_path, [evil, *named[0]], b).read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert" in page
    markdown = (tmp_path / "changes" / "changes.md").read_text(encoding="utf-8")
    assert "<script>" not in markdown
    for text in (page, markdown, capsys.readouterr().out):
        assert not re.search("[\x1b\u202e]", text)


STEPS = """
out.shown = rows().length;
sort(5);
out.sorted = rows().map((r) => Number(r.cells[5].dataset.sort));
filterBy("dora");
out.left = new Set(seen().map((text) => text.trim())).size;
all("details").forEach((each) => { each.open = true; });
out.wide = wide();
out.named = all("th button, input, summary").every((e) => (e.labels?.[0] ?? e).textContent.trim());
"""


@needs_browser
@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_works_in_a_browser(tmp_path, width):
    a = [*cells_of("lora"), *cells_of("dora", 0.95)]
    b = [*cells_of("lora", 0.85), *cells_of("dora", 0.4, lost=0.3, drift=0.5)]
    page = written(tmp_path, a, b)
    page.write_text(steered(page.read_text(encoding="utf-8"), STEPS), encoding="utf-8")
    found = outcome(page, tmp_path / "profile", width)
    assert found["errors"] == found["console"] == []
    assert found["shown"] > 4
    assert found["sorted"] == sorted(found["sorted"], reverse=True)
    assert found["left"] == 1
    assert found["wide"] <= 0, "tables scroll in themselves, not the page"
    assert found["named"]


def test_bars_share_a_scale_with_zero_in_the_middle(tmp_path):
    page = written(
        tmp_path,
        [*cells_of("lora", 0.9), *cells_of("dora", 0.9)],
        [*cells_of("lora", 0.5), *cells_of("dora", 0.85)],
    )
    bars = re.findall(
        r'left:([-\d.]+)%;width:([\d.]+)%"></i><b style="left:([\d.]+)%', Path(page).read_text()
    )
    assert bars
    for left, width, at in (map(float, bar) for bar in bars):
        assert -0.1 <= left <= at <= left + width <= 100.1
