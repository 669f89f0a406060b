"""What Ray's workers are given, and which options go together; nothing of Ray is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli import main
from bench.config.options import build_options
from bench.execution.backend import WorkerExit
from bench.execution.leases import Claims
from bench.execution.messages import Job, Kind
from bench.execution.ray_backend import NodeWorker, RayPlace, SharedFolder
from bench.execution.ray_cluster import Cluster, Node, Share
from bench.models.device import Compute, compute_of
from tasks.errors import UsageError


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize(
    ("nodes", "workers", "share"),
    [
        ([(8, 0)], 2, Share(4, 0, 4)),
        ([(8, 0)], 3, Share(2, 0, 2)),
        ([(4, 0), (8, 0)], 2, Share(8 // 2, 0, 4)),
        ([(1, 0), (1, 0)], 2, Share(1, 0, 1)),
        ([(2, 0)], 5, Share(0.3333, 0, 1)),
        ([(0, 0)], 2, Share(0, 0, 1)),
    ],
)
def test_cores_are_shared_equally_and_a_share_is_on_one_machine(nodes, workers, share):
    cluster = Cluster(tuple(Node(*node) for node in nodes))
    assert cluster.share(workers, on_gpu=False) == share


@pytest.mark.parametrize(
    ("nodes", "workers", "share"),
    [
        ([(32, 4)], 4, Share(0, 1, 8)),
        ([(32, 4), (64, 0)], 2, Share(0, 1, 8)),
        ([(16, 1), (32, 4)], 5, Share(0, 1, 8)),
        ([(8, 1)], 2, Share(0, 0.5, 4)),
        ([(1, 4)], 4, Share(0, 1, 1)),
    ],
)
def test_a_worker_has_a_gpu_or_an_equal_part_of_one(nodes, workers, share):
    cluster = Cluster(tuple(Node(*node) for node in nodes))
    assert cluster.share(workers, on_gpu=True) == share


def test_omp_num_threads_wins(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert Cluster((Node(8, 0),)).share(2, on_gpu=False) == Share(4, 0, 3)


def test_auto_is_a_worker_for_each_gpu_or_machine():
    cluster = Cluster((Node(32, 4), Node(64, 0)))
    assert cluster.worker_count("auto", on_gpu=True) == 4
    assert cluster.worker_count("auto", on_gpu=False) == 2
    assert cluster.worker_count("3", on_gpu=False) == 3
    with pytest.raises(UsageError, match="no GPU; use --device cpu"):
        Cluster((Node(64, 0),)).worker_count("1", on_gpu=True)


def test_workers_are_told_device_and_dtype_and_the_grid_is_the_same(tmp_path):
    """A head without a GPU plans for nodes that have one."""
    options = build_options({"executor": "ray", "device": "cuda", "out": tmp_path})
    compute = compute_of(options)
    assert compute == Compute("cuda:0", "bfloat16")
    shared = SharedFolder(Path.cwd(), tmp_path)
    told = RayPlace(options, compute, 1, Share(0, 1, 8), shared).options(1)
    assert (told["device"], told["dtype"]) == ("cuda", "bfloat16")
    assert compute_of(build_options(told)) == compute


def test_a_node_without_the_folder_starts_no_worker(tmp_path):
    job = Job(options={}, cells=(), number=1, threads=1, wait=False)
    told = NodeWorker(job, SharedFolder(tmp_path, Path("results/.shared"))).hear()
    assert [type(each) for each in told] == [type(told[0]), WorkerExit]
    assert told[0].kind is Kind.USAGE
    assert f"cannot see the results folder '{tmp_path}/results'" in told[0].text


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["--ray-address", "auto"], "--ray-address 'auto' needs --executor ray"),
        (["--executor", "ray", "--ray-address", "ray://head:1"], "write auto, or HOST:PORT"),
        (["--executor", "ray", "--device", "cuda:1"], "Ray chooses the GPUs; write cuda"),
        (["--executor", "ray", "--device-map", "auto"], "each worker has one GPU"),
        (["--executor", "rya"], "did you mean ray?"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, capsys, given, line):
    assert main(["run", "--out", str(tmp_path / "out"), *given]) == 2
    assert line in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_where_ray_is_missing_one_line_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("bench.execution.checks.find_spec", lambda name: None)
    assert main(["run", "--executor", "ray", "--out", str(tmp_path / "out")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert 'pip install "semantic-peft-bench[ray]"' in line
    assert not (tmp_path / "out").exists()


def test_claims_of_a_process_known_to_be_dead_are_free_at_once(tmp_path):
    there = Claims(tmp_path)
    assert there.take("a")
    assert there.take("b")
    for cell, pid in (("a", 1), ("b", 2)):  # as if of another machine, where nothing is known
        path = tmp_path / "claims" / f"{cell}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "host": "far", "pid": pid}))
    here = Claims(tmp_path)
    dead = here.owner("a")
    assert not here.take("a")
    assert here.remove_of(dead) == ["a"]
    assert here.take("a")
    assert not here.take("b"), "another process of that machine lives, as far as is known"
    here.close()
