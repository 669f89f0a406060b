"""Numbers that are the same on every processor: what vectors of another length add is rounded."""

from __future__ import annotations

import numpy as np

from bench.report.statistics.crossed import resolved


def test_a_last_digit_is_rounded_away_and_the_size_does_not_matter():
    values = np.array([[0.1 + 0.2, 1e-200 / 3], [-2e12 / 3, 7.0]])
    nudged = np.nextafter(values, np.inf)
    assert (values != nudged).all()
    assert (resolved(values, 9) == resolved(nudged, 9)).all()
    assert resolved(values, 9).shape == values.shape
    assert np.allclose(resolved(values, 9), values, rtol=5e-9, atol=0)


def test_what_is_no_number_stays():
    found = resolved(np.array([np.nan, np.inf, -np.inf]), 9)
    assert np.isnan(found[0])
    assert found[1:].tolist() == [np.inf, -np.inf]
