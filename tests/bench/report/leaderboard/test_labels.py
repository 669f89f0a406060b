"""Labels say what sets settings apart, in words that read well."""

from __future__ import annotations

from bench.report.leaderboard.labels import setting_labels
from tests.bench.report_cells import make_spec


def test_one_batch_a_step_is_said_in_the_singular():
    specs = [make_spec(accumulation=number) for number in (1, 4)]
    assert setting_labels([("lora", spec) for spec in specs]) == [
        "lora (1 batch a step)",
        "lora (4 batches a step)",
    ]
