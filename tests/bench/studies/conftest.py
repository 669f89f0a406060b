"""Facts that the two-layer model learns in a few steps, for studies that train them in order."""

from __future__ import annotations

import json

import pytest

LETTERS = "abcdefghij"


@pytest.fixture(scope="session")
def letters_file(tmp_path_factory):
    """Ten facts with one-letter answers, a paraphrase and a neighbour each."""
    rows = [
        {
            "id": f"k{i}",
            "question": f"Where is key {i}?",
            "answer": letter,
            "paraphrases": [f"Key {i} is where?"],
            "neighbours": [{"question": f"Where is door {i}?", "answer": "x"}],
        }
        for i, letter in enumerate(LETTERS)
    ]
    path = tmp_path_factory.mktemp("letters") / "keys.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
