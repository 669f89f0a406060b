"""A notebook's display changes in place, says what a terminal says, and shows no text as markup."""

from __future__ import annotations

import html.parser

import pytest

from bench.progress.notebook import LINES, NotebookProgress
from tests.bench.progress.test_progress import Clock, two_cells, two_workers


class Output:
    """One output of a notebook: what it shows, and how often it changed."""

    def __init__(self):
        self.states = []

    def show(self, bundle):
        assert not self.states, "a second output would be left behind"
        return self.change(bundle)

    def change(self, bundle):
        assert set(bundle) == {"text/plain", "text/html"}
        self.states.append(bundle)
        return self.change

    @property
    def text(self):
        return self.states[-1]["text/plain"]

    @property
    def markup(self):
        return self.states[-1]["text/html"]


class Tags(html.parser.HTMLParser):
    def __init__(self, markup):
        super().__init__()
        self.found = []
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def output():
    return Output()


def test_a_run_is_one_output_that_ends_with_its_cells(output):
    clock = Clock()
    two_cells(NotebookProgress(output.show, clock), clock)
    assert output.text.splitlines() == [
        "2 cells to run; 1 already run",
        "done: method1 · countries in 30 s: reliability 0.90",
        "done: method2 · countries in 30 s: reliability 0.90",
        "a word",
        "of warning",
        "2 of 2 cells",
    ]
    assert ("progress", {"max": "2", "value": "2"}) in Tags(output.markup).found


def test_what_is_under_way_is_shown_with_its_loss_and_time_left(output):
    clock = Clock()
    progress = NotebookProgress(output.show, clock)
    progress.grid(2, 0)
    progress.cell(2, 2, "corda[mode=ipm] · countries")
    progress.phase("train", 30)
    clock.seconds += 12
    progress.step(12, 0.25)
    last = output.text.splitlines()[-1]
    assert last == "corda[mode=ipm] · countries: train 12/30, loss 0.250, 18 s left"
    assert ("progress", {"max": "2", "value": "1"}) in Tags(output.markup).found


def test_a_message_is_not_sent_for_every_step(output):
    clock = Clock()
    progress = NotebookProgress(output.show, clock)
    progress.grid(1, 0)
    progress.cell(1, 1, "lora")
    progress.phase("train", 1000)
    before = len(output.states)
    for step in range(1000):
        clock.seconds += 0.001
        progress.step(step)
    assert len(output.states) - before <= 5


def test_workers_have_a_line_each_which_ends_with_their_cells(output):
    clock = Clock()
    progress = NotebookProgress(output.show, clock)
    lanes = two_workers(progress, clock)
    assert "worker 1: " not in output.text.replace("worker 1 a download", "")
    lanes[2].cell(2, 2, "dora")
    lanes[2].phase("forget", 3)
    assert output.text.splitlines()[-1] == "worker 2: dora: forget"
    assert "2 of 2 cells" in output.text


def test_text_of_models_and_people_is_no_markup(output):
    progress = NotebookProgress(output.show, Clock())
    progress.grid(1, 0)
    progress.cell(1, 1, "<script>x</script>")
    progress.note("<img src=x onerror=y>")
    progress.end_cell("failed", "\x1b[31m<b>")
    assert {tag for tag, _ in Tags(output.markup).found} <= {"div", "label", "progress", "i"}
    assert "\x1b" not in output.markup


def test_a_long_run_keeps_its_last_lines(output):
    progress = NotebookProgress(output.show, Clock())
    for number in range(3 * LINES):
        progress.note(f"line {number}")
    lines = output.text.splitlines()
    assert lines[0] == f"... {2 * LINES} earlier lines"
    assert len(lines) == LINES + 1
