"""A two-layer model and a small facts file on disk, for whole runs in seconds."""

from __future__ import annotations

import json

import pytest

PLACES = ["attic", "barn", "cellar", "garden", "harbour", "kitchen", "library", "mill"]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory, tiny_parts):
    """A transformers folder with the two-layer model, for `--models`."""
    model, tokenizer = tiny_parts
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def facts_file(tmp_path_factory):
    """Eight facts with paraphrases and neighbours."""
    rows = [
        {
            "id": place,
            "question": f"Where is the {place} key?",
            "answer": place[:3],
            "paraphrases": [f"The {place} key is where?"],
            "neighbours": [{"question": f"Where is the {place} door?", "answer": "x"}],
        }
        for place in PLACES
    ]
    path = tmp_path_factory.mktemp("facts") / "keys.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
