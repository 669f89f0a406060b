"""Grids on a Ray cluster of two nodes, which Ray's own test cluster makes on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress

import pandas as pd
import psutil
import pytest

pytest.importorskip("ray", reason="an extra")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Ray's test cluster")

from bench.cli import main  # noqa: E402
from bench.execution.messages import Kind  # noqa: E402
from bench.execution.pool import WorkerPool  # noqa: E402
from bench.execution.ray_backend import SharedFolder  # noqa: E402
from bench.execution.ray_cluster import OBJECT_STORE_BYTES  # noqa: E402
from bench.store.records import Status  # noqa: E402
from bench.store.store import ResultsStore  # noqa: E402


def processes_below(pid):
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core; the first claims to have a GPU. No process of them is left."""
    patch = pytest.MonkeyPatch()
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # short, as the paths of sockets must be
    for name, value in {
        "RAY_TMPDIR": folder,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "OMP_NUM_THREADS": "1",
    }.items():
        patch.setenv(name, value)
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    started = Cluster()
    try:
        started.add_node(**node, num_gpus=1)
        started.add_node(**node)
        yield started
    finally:
        started.shutdown()
        patch.undo()
        shutil.rmtree(folder, ignore_errors=True)
    left = [each.name() for each in processes_below(os.getpid())]
    assert not [name for name in left if "ray" in name or "gcs" in name]


@pytest.fixture
def run(tiny_folder, facts_file, monkeypatch):
    """Run a grid of four small cells in this process; tests of plots are elsewhere."""
    monkeypatch.setattr("bench.report.plots.draw_plots", lambda *_: ())
    monkeypatch.setattr("bench.libraries.quiet_libraries", lambda: None)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def start(out, *more):
        arguments = [
            *("--methods", "lora[r=4],pissa[r=4]", "--seeds", "0,1", "--epochs", "2"),
            *("--tasks", str(facts_file), "--models", str(tiny_folder), "--device", "cpu"),
            *("--forgetting", "drift", "--batch-size", "4", "--out", str(out), *more),
        ]
        return main(["run", *arguments])

    yield start
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def began(monkeypatch):
    """The numbers of the workers that have told of a cell that they began."""
    numbers, show = set(), WorkerPool._show

    def note(workers, worker, message):
        show(workers, worker, message)
        if message.kind is Kind.CELL:
            numbers.add(worker.number)

    monkeypatch.setattr(WorkerPool, "_show", note)
    return numbers


@pytest.fixture
def on_ray(run, cluster):
    def start(out, *more):
        address = ["--executor", "ray", "--ray-address", cluster.address]
        return run(out, *address, "--workers", "2", *more)

    return start


def board(folder):
    """The leaderboard without what differs between two runs of one grid."""
    table = pd.read_csv(folder / "leaderboard.csv")
    volatile = [name for name in table if name.startswith(("seconds", "peak_bytes"))]
    return table.drop(columns=volatile)


def claims_in(folder):
    """The pids that have claimed cells, by the cells' ids."""
    found = {}
    for path in (folder / "claims").glob("*.json"):
        with suppress(FileNotFoundError, json.JSONDecodeError):
            found[path.stem] = json.loads(path.read_text())["pid"]
    return found


def when(condition, act):
    """Act once, from another thread, as soon as the condition holds."""

    def wait():
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            if condition():
                act()
                return
            time.sleep(0.02)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_the_table_is_that_of_local_processes(run, on_ray, tmp_path, monkeypatch):
    local, ray = tmp_path / "local", tmp_path / "ray"
    (tmp_path / "tasks.py").write_text("raise SystemExit('somebody else wrote this')")
    monkeypatch.chdir(tmp_path)  # Ray puts the folder of the driver first on its workers' path
    assert run(local) == 0
    assert on_ray(ray) == 0
    pd.testing.assert_frame_equal(board(ray), board(local))
    found = ResultsStore(ray).records().records
    assert {record.provenance["host"] for record in found} == {os.uname().nodename}
    assert {record.provenance["threads"] for record in found} == {1}
    assert {path.name for path in ray.iterdir() if path.name.startswith(".")} == set()


def test_a_lost_node_loses_nothing(on_ray, cluster, tmp_path, began, capfd):
    [node] = cluster.worker_nodes
    lost = []

    def lose():
        [raylet] = node.all_processes["raylet"]
        below = processes_below(raylet.process.pid)
        pids = {each.pid for each in below}
        lost.extend(cell for cell, pid in claims_in(tmp_path).items() if pid in pids)
        for each in below:  # the whole machine is gone: nothing there ends in order
            with suppress(psutil.NoSuchProcess):
                each.kill()
        cluster.remove_node(node, allow_graceful=False)

    # A worker that has a claim and was not heard of yet would be dismissed, not told of.
    loser = when(lambda: began == {1, 2} and len(claims_in(tmp_path)) == 2, lose)
    assert on_ray(tmp_path, "--epochs", "40") == 0
    loser.join(timeout=600)
    records = ResultsStore(tmp_path).records().records
    assert [record.status for record in records] == [Status.DONE] * 4
    assert not claims_in(tmp_path)
    err = capfd.readouterr().err
    # Ray may notice only when the other node, which finds the claim expired, has run everything.
    assert re.search(r"worker \d died \(.*\)(; restarting it|, but no cells are left to run)", err)
    runs = Counter(re.findall(r"worker \d: (\S+) · .* · seed (\d)", err))
    [again] = [record.spec for record in records if record.cell_id in lost]
    assert runs.pop((again.method, str(again.seed))) == 2
    assert sorted(runs.values()) == [1, 1, 1], "nothing else ran twice"


def test_ctrl_c_keeps_what_is_finished_and_ends_the_workers(on_ray, tmp_path, began, capfd):
    workers = []

    def press():
        workers.extend(claims_in(tmp_path).values())
        os.kill(os.getpid(), signal.SIGINT)

    # A cell is claimed a moment before it begins, and is noted as interrupted from then on.
    when(lambda: began and claims_in(tmp_path), press)
    assert on_ray(tmp_path, "--epochs", "400", "--workers", "1") == 130
    assert "python -m bench" in capfd.readouterr().err, "how to go on"
    [record] = ResultsStore(tmp_path).records().records
    assert record.status is Status.INTERRUPTED
    assert not claims_in(tmp_path)
    assert not any(psutil.pid_exists(pid) for pid in workers)


def test_a_node_that_does_not_see_the_results_is_named(on_ray, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(SharedFolder, "__reduce__", elsewhere)
    assert on_ray(tmp_path, "--workers", "1") == 2
    [line] = [line for line in capfd.readouterr().err.splitlines() if "error" in line]
    assert os.uname().nodename in line
    assert str(tmp_path) in line


def elsewhere(shared):
    return SharedFolder, (shared.start, shared.marker.with_name("elsewhere"))


def test_workers_get_the_gpus_that_ray_gives_them(on_ray, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert on_ray(tmp_path, "--device", "cuda", "--workers", "auto") == 2
    err = capfd.readouterr().err
    assert re.search(r"\b1 worker\b.*\b1 GPU\b.*\b1 thread\b", err)
    assert "--device cuda" in err


def test_a_cluster_that_is_not_there_is_one_line(run, tmp_path, capfd):
    gone = ["--executor", "ray", "--ray-address", "127.0.0.1:9"]
    assert run(tmp_path, *gone) == 2
    assert "--ray-address '127.0.0.1:9'" in capfd.readouterr().err
