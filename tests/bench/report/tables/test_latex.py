"""`leaderboard.tex`: booktabs, escaped text, marks as maths."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from bench.report.leaderboard.load import load_leaderboard
from bench.report.tables.latex import latex, leaderboard_tex
from tests.bench.report_cells import failed_cell, fill, make_cell


def test_every_line_of_a_table_has_the_same_cells_whatever_a_name_holds(tmp_path):
    evil = "peft[path=a_b&c%d#e$f{g}^h~i\\j.json]"
    cells = [make_cell(spec={"seed": seed}) for seed in range(3)]
    cells += [make_cell(spec={"method": evil, "seed": seed}, accuracy=0.0) for seed in range(3)]
    cells.append(failed_cell(method="dora", facts=64, reason="50 % of $x & more"))
    text = leaderboard_tex(load_leaderboard(fill(tmp_path, cells)))
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 4
    assert len({len(re.findall(r"(?<!\\)&", line)) for line in lines}) == 1
    assert r"a\_b\&c\%d\#e\$f\{g\}\textasciicircum{}h\textasciitilde{}i\textbackslash{}j" in text
    assert "$^{-}$" in text
    assert r"50 \% of \$x \& more" in text
    assert not set(text) & set("▲▼≈↑↓")


@given(st.text())
def test_escaped_text_has_no_command_of_its_own(text):
    escaped = latex(text)
    known = r"\\(textbackslash|textasciitilde|textasciicircum|textbar|textless|textgreater)\{\}"
    rest = re.sub(known, "", escaped).replace("{[}", "").replace("{]}", "")
    assert not re.search(r"[&%$#_{}\\~^]", re.sub(r"\\[&%$#_{}]", "", rest))
    assert "\n" not in escaped
