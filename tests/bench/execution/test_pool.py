"""What a run shows of its workers, whatever runs them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from bench import child_environment
from bench.execution.backend import WorkerExit
from bench.execution.leases import Claims, this_process
from bench.execution.messages import Kind, Message
from bench.execution.pool import WorkerPool
from bench.execution.worker_process import opened
from bench.models.device import Compute
from bench.progress.plain import PlainProgress
from bench.store.store import ResultsStore
from tasks.errors import UsageError

CAUTION = Message(kind=Kind.CAUTION, text="elements: 2 forget facts are trained on: dropped")


@dataclass
class Scripted:
    """A place whose workers say what is written down for them, and end."""

    lines: dict[int, list[Message | WorkerExit]]
    count: int = 2
    threads: int = 1
    stopped: list[int] = field(default_factory=list)

    def options(self, number):
        return {}

    def start(self, job, hear):
        for told in (Message(kind=Kind.STARTED, process=this_process()), *self.lines[job.number]):
            hear(told)
        return Stopped(self.stopped, job.number)


@dataclass
class Stopped:
    stopped: list[int]
    number: int

    def stop(self):
        self.stopped.append(self.number)

    def end(self, seconds):
        pass


@pytest.fixture
def shown(tmp_path):
    def run(place):
        stream = io.StringIO()
        store = ResultsStore(tmp_path)
        with Claims(tmp_path) as claims:
            progress = PlainProgress(stream)
            WorkerPool(Compute("cpu", "float32"), store, claims, progress, place).run(
                [], wait=False
            )
        return stream.getvalue().splitlines()

    return run


def test_each_line_says_whose_it_is_and_what_all_find_is_said_once(shown, snapshot):
    def story(number):
        return [
            CAUTION,
            Message(kind=Kind.CELL, text=f"method{number} · countries"),
            Message(kind=Kind.PHASE, text="train", steps=80),
            Message(kind=Kind.STEP, steps=3, loss=0.5),
            Message(kind=Kind.LINE, text="a download"),
            WorkerExit(),
        ]

    lines = shown(Scripted({1: story(1), 2: story(2)}))
    assert lines.count(CAUTION.text) == 1
    assert [line.partition(":")[0] for line in lines[1:]] == ["worker 1"] * 3 + ["worker 2"] * 3
    snapshot("progress", "what two workers tell", "\n".join(lines))


def test_what_cannot_be_measured_ends_the_run_and_every_worker(shown):
    place = Scripted({1: [Message(kind=Kind.USAGE, text="lm_eval:x has no data")], 2: []})
    with pytest.raises(UsageError, match="lm_eval:x has no data"):
        shown(place)
    assert place.stopped == [1, 2]


ENDING = """
import os, signal, time
from bench.execution.worker import _end_when_asked

class Asked:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)

_end_when_asked()
try:
    Asked()
    time.sleep(3000)
except KeyboardInterrupt:
    print("ended in order")
"""


LATE = """
import os, signal, time
from bench.execution.worker import _end_when_asked

ends_anyway = _end_when_asked()
set_handler = signal.signal

def set_late(number, handler):
    signal.signal = set_handler
    os.kill(os.getpid(), signal.SIGTERM)
    return set_handler(number, handler)

signal.signal = set_late
ends_anyway()
os.kill(os.getpid(), signal.SIGTERM)
print("ended in order", flush=True)
time.sleep(0.5)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("program", [ENDING, LATE], ids=["in a destructor", "at its end"])
def test_a_worker_ends_in_order_whenever_it_is_asked(program):
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    said = opened(process.stdout).readline()  # its input stays open until then
    errors = process.communicate(timeout=600)[1]
    assert (said, errors, process.returncode) == ("ended in order\n", "", 0)
