"""A small study of order: five facts alone and six together, in batches of three."""

from __future__ import annotations

from functools import partial

import pytest


@pytest.fixture(scope="session")
def order_in(tiny_folder, letters_file):
    """Options of the study for a folder."""
    from bench.studies.order.study import OrderOptions

    def make(out, **changes):
        chosen = {
            "model": str(tiny_folder),
            "task": str(letters_file),
            "methods": "lora[r=4]",
            "sizes": "1,6",
            "measured": 5,
            "most": 30,
            "exposures": 3,
            "batch_size": 3,
            "lr": 1e-2,
            "device": "cpu",
            "out": out,
        }
        return OrderOptions(**{**chosen, **changes})

    return make


@pytest.fixture
def order(order_in, tmp_path):
    """Such options, for an empty folder."""
    return partial(order_in, tmp_path)
