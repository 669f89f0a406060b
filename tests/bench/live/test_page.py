"""The page in a browser: what it shows of each state, by itself and when it is used."""

from __future__ import annotations

import pytest

from bench.live import server
from bench.live.view import LiveView
from bench.store.records import Status
from tests.bench.browser import needs_browser, outcome, steered
from tests.bench.live.folders import bury, cell, living, named, plan, record, tell
from tests.bench.report_cells import fill
from tests.bench.report_grid import GridShape, write_grid

pytestmark = needs_browser

NOW = 1e9
HOSTILE = "<img src=x onerror=alert(1)> </script> \u202e & 'reason'"

READ = """
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const until = async (found) => {
  for (let i = 0; i < 200 && !found(); i++) await sleep(50);
  return found();
};
const text = (selector) => [...document.querySelectorAll(selector)].map((n) => n.textContent);
const overflow = () =>
  document.documentElement.scrollWidth - document.documentElement.clientWidth;
out.grid = await until(() => !document.getElementById("grid").hidden);
"""


@pytest.fixture
def opened(served, monkeypatch, tmp_path):
    """Open the page of a folder in a browser; returns what steps found."""

    def show(folder, steps, width=1280):
        page = server.page_text()
        monkeypatch.setattr(server, "page_text", lambda: steered(page, READ + steps))
        with served(folder) as found:
            found.server.view._now = lambda: NOW
            done = outcome(found.address, tmp_path / "profile", width)
        monkeypatch.undo()
        assert done["errors"] == []
        assert done["console"] == []
        return done

    return show


@pytest.fixture
def folder(tmp_path):
    """Cells in every state; the running one's process is this one."""
    folder = fill(
        tmp_path / "results",
        [
            cell(0),
            record(1, Status.FAILED, reason=HOSTILE, traceback="Traceback:\n  <b>line</b> 7"),
        ],
    )
    plan(folder, *map(named, range(2, 6)))
    told = {"steps": 80, "done": 20, "loss": 0.5, "losses": ((1, 4.0), (10, 1.0), (20, 0.5))}
    tell(folder, 2, phase="train", started=NOW - 9, phase_started=NOW - 5, **told)
    tell(folder, 3, phase="evaluate")
    bury(folder, named(3).cell_id)
    (folder / "leaderboard.html").write_text("<p>board")
    with living(folder, 2):
        yield folder


USED = """
out.states = text("#states button");
out.cards = text("#running .card h3");
out.how = text("#running .card p");
out.curve = document.querySelector("#running svg").getAttribute("aria-label");
const bar = document.querySelector("#running progress");
out.bar = [bar.value, bar.max];
out.reasons = text("#reasons li p");
out.images = document.querySelectorAll("img").length;
out.board = document.querySelector("#board a").href;
out.title = document.title;
out.rows = text("#cells tbody tr th");
out.share = document.getElementById("share").getAttribute("aria-label");
const isNamed = (node) => node.textContent.trim() || node.ariaLabel || node.labels?.length;
out.unnamed = [
  ...document.querySelectorAll("button, input, progress, svg, summary, th"),
].filter((node) => !isNamed(node)).length;
document.querySelector("#reasons summary").click();
await until(() => text("#reasons pre")[0].includes("line"));
out.traceback = text("#reasons pre")[0];
out.command = text("#reasons code")[0];
await sleep(2500);
out.stays_open = document.querySelector("#reasons details").open;
document.querySelector('#states [data-state="waiting"]').click();
out.waiting = text("#cells tbody tr th");
out.pressed = text('#states [aria-pressed="true"]');
document.querySelector('#states [data-state=""]').click();
const field = document.getElementById("search");
field.value = "R=3]";
field.dispatchEvent(new Event("input", { bubbles: true }));
out.searched = text("#cells tbody tr th");
out.news = text("#news");
"""


def test_every_state_is_shown_and_found(opened, folder):
    found = opened(folder, USED)
    assert found["states"] == [
        *("all 6", "running 1", "failed 1", "interrupted 1", "waiting 2", "done 1")
    ]
    assert found["cards"] == ["lora[r=3]"]
    assert "train, step 20 of 80, loss 0.5" in found["how"]
    assert found["how"][-1] == "5.0 s in this phase, about 15 s left; 9.0 s in all"
    assert found["curve"] == "loss from 4 to 0.5"
    assert found["bar"] == [20, 80]
    assert any("<img src=x onerror=alert(1)>" in line for line in found["reasons"])
    assert any("its process ended in the phase evaluate" in line for line in found["reasons"])
    assert found["images"] == 0
    assert found["traceback"] == "Traceback:\n  <b>line</b> 7"
    assert found["command"].startswith(f"python -m bench show {named(1).cell_id[:12]} --out ")
    assert found["stays_open"], "the lists are updated in place"
    assert found["board"].endswith("/leaderboard.html")
    assert found["title"].startswith("3/6")
    assert found["share"] == "1 running, 1 failed, 1 interrupted, 2 waiting, 1 done"
    assert found["rows"] == [f"lora[r={n}]" for n in (3, 2, 4, 5, 6, 1)]
    assert found["waiting"] == ["lora[r=5]", "lora[r=6]"]
    assert found["pressed"] == ["waiting 2"]
    assert found["searched"] == ["lora[r=3]"]
    assert found["unnamed"] == 0
    assert found["news"] == ["3 of 6 cells ended, 1 failed"]


def test_a_phone_needs_no_sideways_scrolling(opened, folder):
    found = opened(folder, "out.overflow = overflow();", width=400)
    assert found["overflow"] <= 0


def test_an_open_page_follows_the_run(opened, folder, monkeypatch):
    """The third question finds the running cell done."""
    asked, state = [], LiveView.state

    def later(self, since=""):
        asked.append(since)
        if len(asked) == 3:
            fill(folder, [cell(2)])
            (folder / "running" / f"cell-{named(2).cell_id}.json").unlink()
            (folder / "claims" / f"{named(2).cell_id}.json").unlink()
        return state(self, since)

    monkeypatch.setattr(LiveView, "state", later)
    steps = """
    out.before = text("#running .card h3");
    await until(() => document.getElementById("running").hidden);
    out.after = text("#states button");
    out.row = text("#cells tbody tr th");
    """
    found = opened(folder, steps)
    assert found["before"] == ["lora[r=3]"]
    assert {"running 0", "done 2"} <= {*found["after"]}
    assert len(found["row"]) == 6
    assert asked[0] == ""
    assert all(asked[1:]), "only what has changed is asked for"


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_cells_says_what_will_happen(opened, tmp_path, exists):
    folder = tmp_path / "a 'folder'"
    if exists:
        folder.mkdir()
    steps = "await until(() => text('#notice')[0]); out.notice = text('#notice')[0];"
    found = opened(folder, f"out.grid = document.getElementById('grid').hidden; {steps}")
    assert found["grid"]
    assert ("There is no folder" in found["notice"]) == (not exists)
    assert str(folder) in found["notice"]


def test_a_server_that_has_ended_is_said_and_the_last_state_stays(opened, folder, monkeypatch):
    asked, state = [], LiveView.state

    def gone(self, since=""):
        asked.append(since)
        if len(asked) > 2:
            raise ConnectionResetError
        return state(self, since)

    monkeypatch.setattr(LiveView, "state", gone)
    steps = """
    await until(() => text("#connection")[0].startsWith("Not connected"));
    out.said = text("#connection")[0];
    out.rows = text("#cells tbody tr th");
    """
    page = server.page_text()
    monkeypatch.setattr(server, "page_text", lambda: steered(page, READ + steps))
    found = opened_anyway(folder, folder.parent / "profile")
    assert found["said"].startswith("Not connected")
    assert len(found["rows"]) == 6


def opened_anyway(folder, profile):
    """Open a page whose console may say that a request failed."""
    from tests.bench.live.conftest import serving

    with serving(folder) as found:
        done = outcome(found.address, profile, 1280)
    assert done["errors"] == []
    return done


def test_of_many_cells_the_first_are_shown_and_more_on_request(opened, tmp_path):
    folder = write_grid(tmp_path / "results", GridShape(models=2, tasks=3, methods=5, seeds=5))
    steps = """
    await until(() => text("#states button")[0] === "all 150");
    out.rows = text("#cells tbody tr th").length;
    out.caption = text("#count");
    document.getElementById("more").click();
    out.more = text("#cells tbody tr th").length;
    """
    found = opened(folder, steps)
    assert (found["rows"], found["more"]) == (100, 150)
    assert found["caption"] == ["The first 100 of 150 cells"]
