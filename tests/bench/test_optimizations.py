"""A grid taken the plain way in everything gives the leaderboard of all shortcuts."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.config.options import build_options
from bench.execution.run import run_grid
from bench.forgetting.base_state_cache import BaseStates
from bench.inference import packed_lm_head as packed_head
from bench.optimizations import Optimization, enabled, without
from bench.progress.base import Silent
from bench.store.base_cache import KeptValues
from bench.store.records import Status
from bench.training import forward as passes
from bench.training import fuse_adapters as fusing

LOW_RANK = ["lora[r=4]", "dora[r=4]", "pissa[r=4]", "corda[mode=ipm,r=4]"]
SEMANTIC = ["lora[r=4]+last[n=1]", "lora[r=4]+filter[rho=0.25]+reweight"]
METHODS = [*LOW_RANK, *SEMANTIC, "full"]
MEASURED = {"metrics", "forgetting", "curve", "init_difference"}
TOLERANCE = 1e-4
"""Of every number on record: shortcuts change the order of sums, in float32."""


def grid(tiny_folder, facts_file, out):
    options = build_options(
        {
            "methods": ",".join(METHODS),
            "tasks": str(facts_file),
            "models": str(tiny_folder),
            "forgetting": "fictional[n=40,seed=1],drift",
            "forgetting_limit": 4,
            "epochs": 2,
            "batch_size": 4,
            "device": "cpu",
            "out": out,
        }
    )
    return run_grid(options, Silent()).records


def numbers(value, name=""):
    """All numbers below a value, by their path."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        parts = [numbers(item, f"{name}.{key}") for key, item in value.items()]
        return {path: number for part in parts for path, number in part.items()}
    return {name: float(value)} if isinstance(value, int | float) else {}


def test_a_grid_without_any_shortcut_gives_the_same_numbers(
    tiny_folder, facts_file, tmp_path, monkeypatch
):
    taken = []
    ways = (
        (fusing, "project"),
        (passes.FrozenPrefix, "replayed"),
        (passes.TokenTree, "logits"),
        (BaseStates, "again"),
        (packed_head, "_multiplied"),
        (KeptValues, "write"),
    )
    for module, name in ways:
        plain = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, f=plain: taken.append(f) or f(*a))
    ours = grid(tiny_folder, facts_file, tmp_path / "ours")
    assert len(set(taken)) == len(ways)
    taken.clear()
    with without():
        plain = grid(tiny_folder, facts_file, tmp_path / "plain")
    assert not taken
    assert [record.status for record in ours] == [Status.DONE] * len(METHODS)
    for fast, slow in zip(ours, plain, strict=True):
        found, expected = (numbers(r.model_dump(include=MEASURED)) for r in (fast, slow))
        assert len(expected) > 30
        assert found == pytest.approx(expected, abs=TOLERANCE), fast.spec.method
        frames = [
            pd.read_parquet(tmp_path / name / "facts" / f"{fast.cell_id}.parquet")
            for name in ("ours", "plain")
        ]
        pd.testing.assert_frame_equal(*frames, atol=TOLERANCE, rtol=0)


def test_shortcuts_are_switched_off_one_by_one_and_together():
    assert all(enabled(shortcut) for shortcut in Optimization)
    with without(Optimization.FROZEN_PREFIX):
        off = {shortcut for shortcut in Optimization if not enabled(shortcut)}
        assert off == {Optimization.FROZEN_PREFIX}
        with without():
            assert not any(enabled(shortcut) for shortcut in Optimization)
    assert all(enabled(shortcut) for shortcut in Optimization)
