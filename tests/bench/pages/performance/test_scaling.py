"""Cost as work grows: curves and their exponents; many facts in blocks give the same results."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from bench.evaluation import embedding_space as text_space
from bench.evaluation.embedding_space import AnswerSpace, TextSpace
from bench.inference import encoding
from bench.inference.encoding import encode_all
from bench.models.loading import load_base
from bench.pages.performance import cost_curves, scaling
from bench.pages.performance.cost_curves import Curve, Point, curves_png
from bench.pages.performance.entries import QUICK, Bench, Outcome, Scale, Size
from bench.pages.performance.machine import Machine, Measured
from bench.pages.performance.page import page
from bench.pages.performance.scaling_facts import FactCosts, LazyFactRows, fact_costs
from bench.store import formats as store_formats
from bench.store.formats import PARQUET, arrow_table, write_parquet
from methods.encoder import Encoder
from tasks.base import DataAccess
from tasks.fact import Fact
from tasks.knowledge.fictional import Fictional

SMALL = Scale(facts=(10, 40), cells=(4, 8), layers=(1, 2), widths=(16, 32))
MACHINE = Machine(
    "a processor, 2 cores", 8 * 2**30, {"torch": "2"}, "abc", {"float32": 1e9, "bfloat16": 1e9}
)


def curve(seconds, expected=1.0):
    """A curve over 10^2, 10^3, ..."""
    points = [Point(10 ** (i + 2), value) for i, value in enumerate(seconds)]
    return Curve("encoding", "facts", tuple(points), expected)


def test_an_exponent_is_that_of_the_upper_decades():
    assert curve([5.0, 5.0, 1.0, 10.0, 100.0]).exponent == pytest.approx(1.0)
    assert curve([5.0, 5.0, 1.0, 100.0, 1e4]).exponent == pytest.approx(2.0)
    assert curve([5.0]).exponent is None


def test_every_curve_is_measured(tiny_folder, facts_file, tmp_path, monkeypatch):
    base = load_base(str(tiny_folder))
    measured = []

    def in_this_process(model, count):
        measured.append((model, count))
        return fact_costs(base, count, tmp_path)

    monkeypatch.setattr(scaling, "_fact_costs", in_this_process)
    monkeypatch.setattr(scaling, "LAYER_WIDTH", 32)
    monkeypatch.setattr(cost_curves, "SHORT", 0.0)
    size = dataclasses.replace(QUICK, name="small", scale=SMALL)
    outcome = scaling.scale_curves(
        Bench(str(tiny_folder), str(facts_file), size, ("float32",), tmp_path)
    )
    assert measured == [(str(tiny_folder), 10), (str(tiny_folder), 40)]
    by_axis = {}
    for found in outcome.curves:
        by_axis.setdefault(found.axis, []).append(found)
        assert all(point.seconds > 0 for point in found.points)
        assert tuple(p.size for p in found.points) == getattr(SMALL, _FIELD[found.axis])
    assert {axis: len(found) for axis, found in by_axis.items()} == {
        "facts": 5,
        "cells": 3,
        "layers": 2,
        "width": 2,
    }
    assert "40 facts read, encoded, measured and filtered" in outcome.notes[0]


_FIELD = {"facts": "facts", "cells": "cells", "layers": "layers", "width": "widths"}


def test_the_page_shows_curves_with_their_figure():
    outcomes = {"scale": Outcome(curves=[curve([1.0, 10.0]), curve([1.0, 100.0])])}
    command = "nox -s perf -- --only scale"
    measured = {name: Measured(command, MACHINE, 1.0, found) for name, found in outcomes.items()}
    text = page({"cpu": measured}, "performance-scale.png")
    assert "100: 1 s, 1,000: 10 s" in text
    assert "| 1.00" in text
    assert "| 2.00" in text
    assert "](performance-scale.png)" in text
    png = curves_png(outcomes["scale"].curves)
    assert png.startswith(b"\x89PNG")
    assert curves_png(outcomes["scale"].curves) == png, "the same bytes for the same numbers"


def test_memory_above_the_limit_is_said():
    assert "within 4 GiB" in scaling.memory_note(FactCosts(10**6, {}, 2**32))
    assert "above 4 GiB" in scaling.memory_note(FactCosts(10**6, {}, 2**32 + 1))


def test_quick_is_short():
    assert isinstance(QUICK, Size)
    assert max(QUICK.scale.facts) <= 1000
    assert not QUICK.scale.seven_b


def test_facts_encoded_together_are_those_encoded_alone(tiny_base, monkeypatch):
    monkeypatch.setattr(encoding, "TEXTS_AT_ONCE", 3)
    pairs = [(f"Question: {'x' * size}?\nAnswer:", "y" * (size + 1)) for size in range(8)]
    alone = [encode_all(tiny_base.tokenizer, [pair])[0] for pair in pairs]
    assert encode_all(tiny_base.tokenizer, pairs) == alone
    assert encode_all(tiny_base.tokenizer, []) == []


def test_distances_in_blocks_are_those_of_one_fact_alone_bit_for_bit(tiny_base, monkeypatch):
    facts = [Fact(str(i), "?", ("in bed", "up", "asleep")[: 1 + i % 3]) for i in range(11)]
    answers = ["there", "", "up", "down the road", "on", "in bed", "over", "", "a", "ab", "abc"]
    rows = AnswerSpace(tiny_base.tokenizer, tiny_base.model.get_input_embeddings().weight)
    expected = [rows.distance(a, f.answers) for a, f in zip(answers, facts, strict=True)]
    for together in (2, 2**14):
        monkeypatch.setattr(text_space, "FACTS_AT_ONCE", together)
        found = TextSpace(tiny_base, Encoder(), facts).distances(answers)
        assert found.tolist() == expected
    assert TextSpace(tiny_base, Encoder(), []).distances([]).shape == torch.Size([0])


def test_rows_in_groups_are_the_same_table(tmp_path, monkeypatch):
    facts = list(Fictional(n=20).load(DataAccess()))
    rows = LazyFactRows(facts, [0.25] * 20)
    whole, groups = tmp_path / "whole.parquet", tmp_path / "groups.parquet"
    write_parquet(rows, whole)
    plain = tmp_path / "plain.parquet"
    pq.write_table(arrow_table(list(rows)), plain, **PARQUET)
    assert whole.read_bytes() == plain.read_bytes()
    monkeypatch.setattr(store_formats, "ROWS_AT_ONCE", 8)
    write_parquet(rows, groups)
    assert pq.ParquetFile(groups).num_row_groups == 3
    pd.testing.assert_frame_equal(pd.read_parquet(groups), pd.read_parquet(whole))
