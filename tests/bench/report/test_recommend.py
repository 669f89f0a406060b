"""`recommend`: limits, ties, one line when nothing qualifies, amounts as people type them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.cli import main
from bench.cli.recommend import parse_memory, parse_share
from bench.report.leaderboard.load import load_leaderboard
from bench.report.recommend import Limits, recommendations
from bench.store.records import Phase, PhaseName
from tasks.errors import UsageError
from tests.bench.report_cells import fill, make_cell, make_forgetting


def phases(seconds, gib):
    return {PhaseName.TRAIN: Phase(seconds=0, seconds_cold=seconds, peak_bytes=round(gib * 2**30))}


def cell(method, accuracy, *, seconds=60.0, gib=2.0, lost=0.0, seed=0):
    return make_cell(
        spec={"method": method, "seed": seed},
        accuracy=accuracy,
        phases=phases(seconds, gib),
        forgetting=[make_forgetting(lost=lost, seed=seed)],
    )


def seeded(*args, **given):
    """The same cell with three seeds: fewer decide nothing."""
    return [cell(*args, seed=seed, **given) for seed in range(3)]


def told(folder, cells, memory=None, forgetting=None):
    board = load_leaderboard(fill(folder, cells))
    return recommendations(board, Limits(memory, forgetting))


def test_the_clear_winner_is_named_with_what_it_beats(tmp_path, snapshot):
    cells = [*seeded("lora", 0.2, seconds=9), *seeded("corda", 1.0, seconds=90)]
    lines = told(tmp_path, cells)
    assert len(lines) == 3
    assert "use corda" in lines[0]
    assert "100.0 [" in lines[1]
    assert "lora" in lines[2]
    snapshot("recommend", "a clear winner", "\n".join(lines))


def test_methods_that_cannot_be_told_apart_leave_the_cheaper_one(tmp_path, snapshot):
    cells = [*seeded("lora", 0.9, seconds=60), *seeded("dora", 0.9, seconds=160)]
    lines = told(tmp_path, cells)
    assert lines[0].endswith("use lora")
    assert "dora" in lines[2]
    snapshot("recommend", "two that cannot be told apart", "\n".join(lines))


def test_a_cheap_method_that_learns_less_is_not_called_a_tie(tmp_path):
    cells = [*seeded("cheap", 0.5, seconds=1), *seeded("dora", 1.0, seconds=160)]
    assert told(tmp_path, cells)[0].endswith("use dora")


@pytest.mark.parametrize(("seeds", "named"), [(1, "one seed"), (2, "two seeds")])
def test_one_or_two_seeds_name_the_best_estimate_and_decide_nothing(
    tmp_path, snapshot, seeds, named
):
    """However far methods are apart, and however much cheaper the other is."""
    cells = [
        cell(method, accuracy, seconds=seconds, seed=seed)
        for method, accuracy, seconds in (("cheap", 0.2, 1), ("dora", 0.9, 90))
        for seed in range(seeds)
    ]
    lines = told(tmp_path, cells)
    assert lines[0].endswith("use dora")
    assert "learned less" not in lines[2]
    assert "significant" not in lines[2]
    assert "cheap" in lines[2]
    snapshot("recommend", f"{named} alone", "\n".join(lines))


def test_methods_with_enough_seeds_are_judged_beside_one_without(tmp_path):
    cells = [*seeded("lora", 0.2), *seeded("dora", 1.0), cell("pissa", 0.95)]
    last = told(tmp_path, cells)[2]
    assert "lora learned less than dora" in last
    assert "dora from pissa" in last


def test_limits_leave_out_and_say_so(tmp_path, snapshot):
    cells = [cell("full", 1.0, gib=9), cell("dora", 0.95, lost=0.2), cell("lora", 0.6)]
    lines = told(tmp_path, cells, memory=8 * 2**30, forgetting=0.02)
    assert lines[0].endswith("use lora")
    for word in ("full", "9.0 GiB", "dora", "+20.0", "elements"):
        assert word in lines[2]
    snapshot("recommend", "limits that leave out two", "\n".join(lines))


def test_an_interval_beyond_the_limit_is_said(tmp_path, snapshot):
    lines = told(tmp_path, [cell("lora", 0.9, lost=0.01)], forgetting=0.015)
    assert "1.5" in lines[1]
    snapshot("recommend", "an interval beyond the limit", "\n".join(lines))


def test_one_line_when_nothing_qualifies(tmp_path):
    (line,) = told(tmp_path, [cell("lora", 0.9), cell("dora", 0.9)], memory=2**30)
    assert line.startswith("smollm2-135m on countries: ")
    assert "use" not in line
    assert line.count("2.0 GiB") == 2, "of either method"


def test_what_was_not_measured_does_not_qualify(tmp_path, snapshot):
    (line,) = told(tmp_path, [make_cell(forgetting=[])], forgetting=0.5)
    assert "lora" in line
    assert "use" not in line
    snapshot("recommend", "forgetting that was not measured", line)


@pytest.mark.parametrize(
    ("text", "size"), [("8GiB", 8 * 2**30), ("8 gb", 8 * 10**9), ("1.5 MiB", 3 * 2**19), ("7B", 7)]
)
def test_memory_with_units(text, size):
    assert parse_memory(text, "--budget-memory") == size


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("8", "write 8GiB or 8MB"),
        ("8Gi", "unknown unit 'Gi'; write GiB"),
        ("eight", "write a number and a unit"),
        ("-8GiB", "write a number and a unit"),
    ],
)
def test_wrong_memory_names_what_is_right(text, hint):
    with pytest.raises(UsageError, match=hint):
        parse_memory(text, "--budget-memory")


def test_shares_and_percentages():
    assert parse_share("0.02", "--max-forgetting") == 0.02
    for text in ("2", "2%"):
        with pytest.raises(UsageError, match=r"2% is 0\.02"):
            parse_share(text, "--max-forgetting")
    for text in ("much", "-1", "nan"):
        with pytest.raises(UsageError, match="between 0 and 1"):
            parse_share(text, "--max-forgetting")


def test_the_command_prints_the_lines_and_refuses_wrong_units(tmp_path, capsys):
    fill(tmp_path, [cell("lora", 0.9)])
    out = ["--out", str(tmp_path)]
    assert main(["recommend", "--budget-memory", "8GiB", *out]) == 0
    assert "use lora" in capsys.readouterr().out
    assert main(["recommend", "--budget-memory", "8Gi", *out]) == 2
    assert "write GiB" in capsys.readouterr().err


def test_recommending_imports_neither_torch_nor_what_renders_pages(tmp_path):
    fill(tmp_path, [cell("lora", 0.9)])
    code = (
        "import sys; from bench.cli import main; "
        f"main(['recommend', '--out', {str(tmp_path)!r}]); "
        "sys.exit(bool({'torch', 'jinja2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
