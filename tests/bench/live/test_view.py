"""A page that is told only what has changed knows what a new one is told."""

from __future__ import annotations

import json
import math
import random
import shutil
from dataclasses import asdict

import pytest

from bench.live import view as module
from bench.live.view import LiveView
from bench.store.records import Status
from tests.bench.live.folders import cell, living, named, plan, record, tell
from tests.bench.report_cells import fill


@pytest.fixture
def view(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(module, "LOOK_SHARE", math.inf)
    return LiveView(tmp_path / "results")


class Page:
    """What the page's script keeps."""

    def __init__(self, view):
        self.view, self.version, self.cells = view, "", {}

    def poll(self):
        answer = json.loads(json.dumps(self.view.state(self.version), allow_nan=False))
        if answer["all"]:
            self.cells.clear()
        for each in answer["cells"]:
            if "state" in each:
                self.cells[each["id"]] = each
            else:
                self.cells.pop(each["id"], None)
        self.version = answer["version"]
        return answer


def test_two_pages_that_ask_at_different_times_know_the_same(view):
    chance, folder = random.Random(0), view.folder
    early, late = Page(view), Page(view)
    with living(folder, 0, 1):
        for _ in range(40):
            number = chance.randrange(6)
            match chance.randrange(5):
                case 0:
                    fill(folder, [cell(number)])
                case 1:
                    fill(folder, [record(number, Status.DIVERGED)])
                case 2:
                    tell(folder, number, phase="train", done=chance.randrange(99))
                case 3:
                    plan(folder, *map(named, range(number)))
                case 4:
                    shutil.rmtree(folder / "cells", ignore_errors=True)
            early.poll()
            if chance.random() < 0.3:
                late.poll()
    late.poll()
    early.poll()
    new = Page(view)
    assert new.poll()["all"]
    assert early.cells == late.cells == new.cells
    assert new.cells == json.loads(
        json.dumps({key: asdict(value) for key, value in view._look.cells.items()})
    )


def test_a_page_that_knows_everything_is_told_of_no_cell(view):
    fill(view.folder, [cell(0), cell(1)])
    page = Page(view)
    assert len(page.poll()["cells"]) == 2
    assert page.poll()["cells"] == []


@pytest.mark.parametrize("since", ["", "x", "0-1", "-", "'", "99999999999"])
def test_a_page_of_another_server_is_told_everything(view, since):
    fill(view.folder, [cell(0)])
    answer = view.state(since)
    assert answer["all"]
    assert len(answer["cells"]) == 1
    token = answer["version"].partition("-")[0]
    assert view.state(f"{token}-999")["all"], "a version that is still to come"


def test_many_pages_cost_one_look(tmp_path, monkeypatch):
    view, looks = LiveView(tmp_path), []
    monkeypatch.setattr(module, "LOOK_SECONDS", 600.0)
    look = view._watched.look
    monkeypatch.setattr(view._watched, "look", lambda: looks.append(1) or look())
    for _ in range(5):
        view.state()
    assert len(looks) == 1


def test_a_folder_that_takes_long_is_looked_at_less_often(tmp_path, monkeypatch):
    clock, looked = [0.0], []
    view = LiveView(tmp_path)
    look = view._watched.look

    def slow():
        looked.append(clock[0])
        clock[0] += 0.1
        return look()

    monkeypatch.setattr(view._watched, "look", slow)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    while clock[0] < 20:
        view.state()
        clock[0] += 0.25
    assert 8 <= len(looked) <= 10, "a tenth of a second each, and a twentieth of the time"


def test_texts_that_steer_are_written_out_and_secrets_are_left_out(view):
    token = "hf_" + "a" * 30
    fill(
        view.folder,
        [record(0, Status.FAILED, reason=f"\u202e {token}", traceback=f"a\n{token}\x1b[1m")],
    )
    [shown] = view.state()["cells"]
    assert (shown["reason"], shown["traceback"]) == ("\\u202e [hub token]", True)
    told = view.traceback(shown["id"])
    assert told == "a\n[hub token]\\x1b[1m"
    assert view.traceback("../../etc/passwd") == ""
