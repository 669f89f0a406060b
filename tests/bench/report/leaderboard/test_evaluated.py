"""Cells that ask no facts and were measured by tasks of `--evaluate`."""

import numpy as np
import pytest

from bench.report.leaderboard.build import build_leaderboard
from bench.report.leaderboard.published import read_published
from bench.report.tables.markdown import leaderboard_markdown
from bench.store.records import Evaluated
from tasks.errors import UsageError
from tests.bench.report_cells import as_read, make_cell

ITEMS = 200


def learner(method, seed, score, recipe=None):
    """A cell that asks no facts and scores so on the first of its items."""
    spec = {"method": method, "seed": seed, "task": "metamath", "lessons": 100_000}
    spec |= {"lessons_digest": "d" * 64, "recipe": recipe or f"{method}[r=128]"}
    spec |= {"model": "meta-llama/Llama-2-7b-hf", "epochs": 1, "learning_rate": 2e-5}
    record, rows = make_cell(n=0, spec=spec)
    shift = np.random.default_rng(seed).permutation(ITEMS)
    items = [float(place < score * ITEMS) for place in shift]
    evaluated = [
        Evaluated(
            task=task,
            metric="exact_match",
            base=0.05,
            tuned=float(np.mean(items)),
            base_items=[0.0] * ITEMS,
            tuned_items=items,
            limit=ITEMS,
            digest="same",
        )
        for task in ("gsm8k", "math")
    ]
    return record.model_copy(update={"evaluated": evaluated}), rows


@pytest.fixture
def section():
    cells = [learner("lora", seed, 0.42) for seed in range(3)]
    cells += [learner("pissa", seed, 0.60) for seed in range(3)]
    cells += [learner("full", seed, 0.42, "full") for seed in range(3)]
    [section] = build_leaderboard([as_read(*cell) for cell in cells]).sections
    return section


def test_rows_are_ranked_and_compared_by_the_first_task(section):
    assert section.headline == "learned.gsm8k"
    assert [row.label for row in section.rows] == ["pissa", "full", "lora"]
    best, second, reference = section.rows
    assert best.evaluated["gsm8k"].tuned.value == pytest.approx(0.60)
    assert best.evaluated["gsm8k"].base == pytest.approx(0.05)
    found = best.standing.comparisons["learned.gsm8k"]
    assert found.difference.value == pytest.approx(0.18)
    assert found.verdict.value == "better"
    assert second.standing.comparisons["learned.gsm8k"].verdict.value == "tie"
    assert reference.standing.comparisons == {}
    assert (best.standing.rank.low, best.standing.rank.high) == (1, 1)


def test_its_text_says_by_what_rows_are_ranked(section):
    from bench.report.leaderboard.board import Leaderboard

    text = leaderboard_markdown(Leaderboard((section,)))
    assert "Ranks (95% intervals) are by the score on gsm8k." in text
    assert "100,000 trained examples; none of them is asked" in text
    assert "learned TASK: " in text
    assert "5.0% on gsm8k, 5.0% on math" in text
    assert "nan" not in text.lower().split("## how to read")[0]


def test_the_packaged_values_match_cells_of_the_published_setting(section, tmp_path):
    from bench.report.leaderboard.published import with_published

    found = with_published(section, tmp_path).published
    assert {(one.label, one.task) for one in found} >= {("lora", "gsm8k"), ("pissa", "math")}
    by_place = {(one.label, one.task): one for one in found}
    lora = by_place["lora", "gsm8k"]
    assert lora.scores == {"CorDA": 42.68, "PEFT": 42.68}
    assert lora.band == pytest.approx((41.68, 43.68))
    assert (lora.is_hit, lora.items) == (True, ITEMS)
    assert by_place["pissa", "gsm8k"].is_hit is False
    assert by_place["lora", "lm_eval:nq_open"].is_hit is None, "it was not measured"
    assert "full" not in {one.label for one in found}, "nothing was published of it"


def test_other_settings_match_nothing(tmp_path):
    from bench.report.leaderboard.published import with_published

    record, rows = learner("lora", 0, 0.42)
    spec = record.spec.model_copy(update={"lessons": 500})
    cells = [as_read(record.model_copy(update={"spec": spec}), rows)]
    [section] = build_leaderboard(cells).sections
    assert with_published(section, tmp_path).published == ()


@pytest.mark.parametrize("text", ["[", "title: 5", "- a"])
def test_a_wrong_file_is_one_line(text):
    with pytest.raises(UsageError) as raised:
        read_published(text, "published.yaml")
    assert str(raised.value).startswith("published.yaml: ")
    assert "\n" not in str(raised.value)
