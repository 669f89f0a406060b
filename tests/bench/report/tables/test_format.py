"""Numbers and texts as people read them, and escaped whatever they hold."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.redaction import safe_text
from bench.report.statistics.intervals import Estimate, Interval, IntervalKind
from bench.report.tables import format as wording


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (wording.count(512), "512"),
        (wording.count(4_884_480), "4.9 M"),
        (wording.count(134_515_008), "135 M"),
        (wording.count(999_999), "1.0 M"),
        (wording.count(None), "-"),
        (wording.memory(1_500_000_000), "1.4 GiB"),
        (wording.operations(3.2e12), "3.2 TFLOP"),
        (wording.duration(0.42), "0.4 s"),
        (wording.duration(9.97), "10 s"),
        (wording.duration(185), "3 min 5 s"),
        (wording.duration(59.7), "1 min 0 s"),
        (wording.duration(7800), "2 h 10 min"),
        (wording.points(-0.025), "-2.5"),
        (wording.points(-0.0), "0.0"),
        (wording.percent_interval(None), "-"),
        (
            wording.points_interval(Estimate(0.025, Interval(-0.01, 0.06, IntervalKind.FACTS))),
            "+2.5 [-1, +6]",
        ),
        (
            wording.points_interval(Estimate(0.0, Interval(0.0, 0.0, IntervalKind.FACTS))),
            "0.0 [0, 0]",
        ),
    ],
)
def test_numbers_read_well(written, expected):
    assert written == expected


@given(st.text())
def test_printable_text_never_steers_a_terminal(text):
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", safe_text(text))


@given(st.text(alphabet="a|\\`<>&\n\r*_[]\u2028 "))
def test_escaped_markdown_is_one_cell_without_markup(text):
    escaped = wording.markdown(text)
    assert not re.search(r"[<>\n\r]", escaped)
    assert not re.search(r"(?<!\\)(\\\\)*[|`*_\[]", escaped)
