"""Claims: one owner per cell, given back, expired with their owner, not stolen from the living."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.execution.leases import Claims, Owner

ROOT = Path(__file__).parents[3]
CELL = "0123456789abcdef"
HANGS = 600
"""Seconds after which something is taken never to happen, on a machine however busy."""
HOLD = """
import sys
from pathlib import Path
from bench.execution.leases import Claims
claims = Claims(Path(sys.argv[1]))
print(claims.take(sys.argv[2]), flush=True)
sys.stdin.read()
"""
RACE = """
import sys
from pathlib import Path
from bench.execution.leases import Claims
folder = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
claims = Claims(folder)
print([i for i in range(200) if claims.take(f"{i:016x}")], flush=True)
sys.stdin.readline()
"""


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def say(process, line="go"):
    process.stdin.write(line + "\n")
    process.stdin.flush()


def path_of(folder):
    return folder / "claims" / f"{CELL}.json"


def test_a_claim_has_one_owner_until_it_is_given_back(tmp_path):
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert first.take(CELL)
    assert not second.take(CELL)
    owner = second.owner(CELL)
    assert (owner.pid, owner.host) == (os.getpid(), os.uname().nodename)
    second.release(CELL)
    assert path_of(tmp_path).is_file(), "only its owner gives a claim back"
    first.release(CELL)
    assert second.take(CELL)
    second.close()
    assert not path_of(tmp_path).exists()


def interrupt():
    raise KeyboardInterrupt


def test_an_interruption_while_a_claim_is_taken_leaves_none(tmp_path, monkeypatch):
    with Claims(tmp_path) as claims:
        monkeypatch.setattr(claims, "_start_heart", interrupt)
        with pytest.raises(KeyboardInterrupt):
            claims.take(CELL)
        assert path_of(tmp_path).is_file()
    assert not path_of(tmp_path).exists()


def test_an_interruption_while_a_claim_is_given_back_leaves_none(tmp_path, monkeypatch):
    with Claims(tmp_path) as claims:
        assert claims.take(CELL)
        with monkeypatch.context() as patch:
            patch.setattr(claims, "_removing", interrupt)
            with pytest.raises(KeyboardInterrupt):
                claims.release(CELL)
        assert path_of(tmp_path).is_file()
    assert not path_of(tmp_path).exists()


def test_of_processes_that_start_together_each_cell_has_one(tmp_path):
    racers = [start(RACE, tmp_path) for _ in range(3)]
    assert all(racer.stdout.readline() == "ready\n" for racer in racers)
    for racer in racers:
        say(racer)
    won = [json.loads(racer.stdout.readline()) for racer in racers]
    for racer in racers:
        say(racer)
        racer.wait(timeout=HANGS)
    assert sorted(cell for cells in won for cell in cells) == list(range(200))


def test_a_killed_owner_loses_its_claim_at_once_and_a_living_one_keeps_it(tmp_path):
    holder = start(HOLD, tmp_path, CELL)
    assert holder.stdout.readline() == "True\n"
    claims = Claims(tmp_path, stale_seconds=0.0)
    assert not claims.take(CELL), "its owner lives, however long it was not heard of"
    owner = claims.owner(CELL)
    assert owner.pid == holder.pid
    holder.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + HANGS
    while not claims.take(CELL):  # not reaped: a zombie is dead
        assert time.monotonic() < deadline
        time.sleep(0.05)
    holder.wait()


@pytest.mark.parametrize("content", [None, "", "{"])
def test_a_claim_of_another_machine_expires_when_nobody_touches_it(tmp_path, content):
    there = Claims(tmp_path)
    assert there.take(CELL)
    path = path_of(tmp_path)
    foreign = json.loads(path.read_text())
    foreign.update(host="elsewhere", pid=1)
    path.write_text(json.dumps(foreign) if content is None else content)
    here = Claims(tmp_path, stale_seconds=50)
    assert not here.take(CELL)
    past = time.time() - 60
    os.utime(path, (past, past))
    assert here.take(CELL)
    there.release(CELL)
    assert path.is_file(), "what was taken over is not its first owner's to give back"


def test_an_owner_touches_its_claims(tmp_path):
    claims = Claims(tmp_path, beat_seconds=0.05)
    assert claims.take(CELL)
    past = time.time() - 60
    os.utime(path_of(tmp_path), (past, past))
    deadline = time.monotonic() + HANGS
    while time.time() - path_of(tmp_path).stat().st_mtime > 30:
        assert time.monotonic() < deadline, "no beat"
        time.sleep(0.02)
    claims.close()


def test_a_pid_that_is_used_again_does_not_keep_a_claim(tmp_path):
    claims = Claims(tmp_path)
    assert claims.take(CELL)
    path = path_of(tmp_path)
    earlier = json.loads(path.read_text())
    earlier["started"] -= 100
    path.write_text(json.dumps(earlier))
    assert Claims(tmp_path).take(CELL)


def test_a_run_that_ends_removes_the_claims_of_dead_processes(tmp_path):
    with Claims(tmp_path) as claims:
        claims.take(CELL)
    with Claims(tmp_path) as living:
        living.take(CELL)
        left = path_of(tmp_path).with_name("fedcba9876543210.json")
        dead = Owner.model_validate_json(path_of(tmp_path).read_bytes())
        left.write_text(dead.model_copy(update={"started": 1.0}).model_dump_json())
        Claims(tmp_path).close()
        assert not left.exists(), "its process, with another start, is gone"
        assert path_of(tmp_path).exists(), "its process lives"
