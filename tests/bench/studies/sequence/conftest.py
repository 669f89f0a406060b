"""A small study of sequences: ten facts in two parts."""

from __future__ import annotations

from functools import partial

import pytest


@pytest.fixture(scope="session")
def sequence_in(tiny_folder, letters_file):
    """Options of the study for a folder."""
    from bench.studies.sequence.study import SequenceOptions

    def make(out, **changes):
        chosen = {
            "model": str(tiny_folder),
            "task": str(letters_file),
            "methods": "lora[r=4],full",
            "parts": 2,
            "epochs": 8,
            "batch_size": 1,
            "seeds": "0,1",
            "lr": 1e-2,
            "device": "cpu",
            "out": out,
        }
        return SequenceOptions(**{**chosen, **changes})

    return make


@pytest.fixture
def sequence(sequence_in, tmp_path):
    """Such options, for an empty folder."""
    return partial(sequence_in, tmp_path)
