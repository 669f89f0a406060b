"""What a run says: plain lines, the live display, and the estimates of both."""

import io

import pytest
from rich.console import Console

from bench.progress import open_progress
from bench.progress.base import Silent, TimeLeft, duration
from bench.progress.live import LiveProgress
from bench.progress.plain import PlainProgress


class Clock:
    """Seconds that pass when told."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


def two_cells(progress, clock):
    """A run of two cells of 30 seconds."""
    progress.grid(2, 1)
    for index in (1, 2):
        progress.cell(index, 2, f"method{index} · countries")
        progress.phase("prepare")
        progress.phase("train", 30)
        for step in range(1, 31):
            clock.seconds += 1
            progress.step(step, 1 / step)
        progress.end_cell("done", "reliability 0.90")
    progress.note("a word\nof warning")
    progress.close()
    progress.close()


def test_plain_lines_tell_phases_and_are_rare_within_them(snapshot):
    stream, clock = io.StringIO(), Clock()
    two_cells(PlainProgress(stream, clock), clock)
    lines = stream.getvalue().splitlines()
    assert len([line for line in lines if "loss" in line]) == 6, "three of 30 steps in each cell"
    snapshot("progress", "two cells", stream.getvalue())


def two_workers(progress, clock):
    """Two cells side by side, one of which says something."""
    progress.grid(2, 0)
    lanes = {number: progress.of_worker(number) for number in (1, 2)}
    for number, lane in lanes.items():
        lane.cell(1, 2, f"method{number} · countries")
        lane.phase("train", 30)
    clock.seconds += 12
    lanes[2].step(10, 0.5)
    lanes[1].note("a download")
    clock.seconds += 18
    for number in (1, 2):
        lanes[number].end_cell("done", "reliability 0.90")
        progress.finished(number, 2, 30.0 * (2 - number))
    return lanes


def test_plain_lines_of_workers_are_told_apart(snapshot):
    stream, clock = io.StringIO(), Clock()
    two_workers(PlainProgress(stream, clock), clock)
    lines = stream.getvalue().splitlines()
    assert [sum(f"worker {number}:" in line for line in lines) for number in (1, 2)] == [4, 4]
    snapshot("progress", "two workers", stream.getvalue())


def test_the_live_display_has_a_bar_for_each_worker():
    stream, clock = io.StringIO(), Clock()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    live = LiveProgress(console)
    two_workers(live, clock)
    lane = live.of_worker(3)
    lane.cell(2, 3, "dora[r=4] · countries")
    lane.phase("train", 30)
    lane.step(12, 0.25)
    shown = "\n".join(str(line) for line in console.render_lines(live._bars))
    for word in ("worker 3", "train", "12/30", "0.250", "dora[r=4] · countries"):
        assert word in shown
    assert "worker 1" not in shown, "its cell is over"
    live.close()
    assert "worker 1: a download" in stream.getvalue()
    assert "done method2 · countries" in stream.getvalue()


def test_a_stream_that_is_no_terminal_gets_plain_lines():
    assert isinstance(open_progress(io.StringIO()), PlainProgress)


def test_a_terminal_gets_the_live_display(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    stream.isatty = lambda: True
    assert isinstance(open_progress(stream), LiveProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(open_progress(stream), PlainProgress)


def test_the_live_display_names_cell_phase_step_and_loss():
    stream, clock = io.StringIO(), Clock()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    live = LiveProgress(console)
    live.grid(2, 0)
    live.cell(1, 2, "corda[mode=ipm] · countries")
    live.phase("train", 30)
    live.step(12, 0.25)
    shown = "\n".join(str(line) for line in console.render_lines(live._bars))
    for word in ("1 of 2", "corda[mode=ipm] · countries", "train", "12/30", "0.250"):
        assert word in shown
    live.end_cell("failed", "no [such] thing")
    assert live._bars.live.is_started
    live.close()
    two_cells(LiveProgress(console), clock)
    assert not live._bars.live.is_started
    assert "failed corda[mode=ipm] · countries" in stream.getvalue()
    assert "no [such] thing" in stream.getvalue()


def test_a_grid_without_work_puts_up_no_display(snapshot):
    stream = io.StringIO()
    live = LiveProgress(Console(file=stream, force_terminal=True))
    live.grid(0, 4)
    live.close()
    snapshot("progress", "nothing to run", stream.getvalue())


def test_time_left_is_unknown_until_it_can_be_known():
    clock = Clock()
    left = TimeLeft(clock)
    left.start_cell(3)
    left.start_phase()
    assert (left.in_cell(), left.in_grid(), left.in_phase(0, 10)) == (None, None, None)
    assert left.in_phase(3, None) is None
    clock.seconds += 40
    assert left.end_cell() == 40
    left.start_cell(2)
    clock.seconds += 10
    assert (left.in_cell(), left.in_grid()) == (30, 110)
    clock.seconds += 100
    assert (left.in_cell(), left.in_grid()) == (0, 80)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (None, "-"),
        (0.42, "0.4 s"),
        (9.97, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations_for_people(seconds, written):
    assert duration(seconds) == written


def test_silence(capsys):
    two_cells(Silent(), Clock())
    assert capsys.readouterr() == ("", "")
