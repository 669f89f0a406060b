"""The version of evaluation, part of a cell's identity; planning needs it without torch."""

EVALUATION = 2
"""Raise it when what is measured of the same model changes: answers, likelihoods, scores or drift.
Every cell then runs again. `tests/bench/test_golden_numbers.py` tells you when."""
