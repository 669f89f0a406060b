"""Numbers and texts as people read them, and escaped whatever they hold."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.redaction import safe_text
from bench.report.statistics.intervals import Estimate, Interval, IntervalKind
from bench.report.statistics.ranking import RankInterval
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


def interval(low, high):
    return Estimate((low + high) / 2, Interval(low, high, IntervalKind.FACTS))


@pytest.mark.parametrize(
    ("written", "ends"),
    [
        (wording.points_interval(interval(-0.17, -0.001)), "[-17, -0.1]"),
        (wording.points_interval(interval(0.0004, 0.17)), "[+0.04, +17]"),
        (wording.points_interval(interval(-0.17, 0.0)), "[-17, 0]"),
        (wording.points_interval(interval(-0.17, -1e-9)), "[-17, 0]"),
        (wording.points_interval(interval(0.048, 0.2)), "[+5, +20]"),
        (wording.points_interval(interval(0.048, 0.2), margin=0.05), "[+4.8, +20]"),
        (wording.points_interval(interval(-0.2, -0.0497), margin=0.05), "[-20, -4.97]"),
        (wording.points_interval(interval(0.05, 0.2), margin=0.05), "[+5, +20]"),
        (wording.percent_interval(interval(0.003, 0.17)), "[0.3, 17]"),
        (wording.more_epochs_interval(interval(0.0, 1.2)), "[0, +1.2]"),
        (wording.more_epochs_interval(interval(-1.2, -1e-9)), "[-1.2, 0]"),
        (wording.nats_interval(interval(0.0, 0.1)), "[0, 0.100]"),
        (wording.nats_interval(interval(0.004, 0.2)), "[0.004, 0.200]"),
    ],
)
def test_an_end_is_never_rounded_to_zero_or_to_the_margin(written, ends):
    assert written.partition(" ")[2] == ends


@given(st.floats(0, 2), st.floats(0, 0.01), st.floats(0, 0.01))
def test_a_divergence_lies_within_its_interval_as_written(value, below, above):
    found = Interval(max(value - below, 0), value + above, IntervalKind.FACTS)
    value, low, high = map(
        float, re.findall(r"[0-9.]+", wording.nats_interval(Estimate(value, found)))
    )
    assert low <= value <= high


@pytest.mark.parametrize(("items", "shown"), [(4, False), (5, True), (None, True)])
@pytest.mark.parametrize(
    "write", [wording.percent_interval, wording.points_interval, wording.nats_interval]
)
def test_a_mean_over_fewer_than_five_items_is_missing(items, shown, write):
    estimate = Estimate(0.5, Interval(0.2, 0.8, IntervalKind.FACTS), items)
    assert (write(estimate) != wording.MISSING) == shown


@pytest.mark.parametrize(
    ("ranks", "written"), [(RankInterval(1, 3), "1-3"), (RankInterval(2, 2), "2"), (None, "-")]
)
def test_ranks_as_they_are_written(ranks, written):
    assert wording.rank(ranks) == written


@given(st.text())
def test_printable_text_never_steers_a_terminal(text):
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", safe_text(text))


@given(st.text(alphabet="a|\\`<>&\n\r*_[]\u2028 "))
def test_escaped_markdown_is_one_cell_without_markup(text):
    escaped = wording.markdown(text)
    assert not re.search(r"[<>\n\r]", escaped)
    assert not re.search(r"(?<!\\)(\\\\)*[|`*_\[]", escaped)
