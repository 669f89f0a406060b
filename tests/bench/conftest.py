"""A two-layer model and a small facts file on disk, for whole runs in seconds."""

from __future__ import annotations

import json
from functools import partial

import pytest

from tests.conftest import byte_tokenizer, tiny_llama

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
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
def chat_folder(tmp_path_factory):
    """The two-layer model with room for long prompts, and a chat template."""
    model, tokenizer = tiny_llama(), byte_tokenizer()
    model.config.max_position_embeddings = 8192
    tokenizer.chat_template = TEMPLATE
    folder = tmp_path_factory.mktemp("models") / "chat"
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


@pytest.fixture(scope="session")
def lamps_file(tmp_path_factory):
    """Eight facts that no other file has, for a first step."""
    rows = [
        {"id": f"{place} lamp", "question": f"What burns in the {place}?", "answer": place[-3:]}
        for place in PLACES
    ]
    path = tmp_path_factory.mktemp("facts") / "lamps.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def nine_keys(tmp_path_factory):
    """Nine facts, more than an interference study of five measures."""
    path = tmp_path_factory.mktemp("interference") / "keys.jsonl"
    rows = [
        {"id": f"k{i}", "question": f"Where is key {i}?", "answer": "abcdefghi"[i]}
        for i in range(9)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def asked_in(tiny_folder, nine_keys):
    """Options of an interference study: five facts in groups of 1, 2 and 5, batches of 4."""
    from bench.studies.interference.study import InterferenceOptions

    def make(out, **changes):
        chosen = {
            "model": str(tiny_folder),
            "task": str(nine_keys),
            "method": "lora[r=4]",
            "sizes": "1,2,5",
            "measured": 5,
            "exposures": 3,
            "batch_size": 4,
            "lr": 3e-2,
            "device": "cpu",
            "out": out,
        }
        return InterferenceOptions(**{**chosen, **changes})

    return make


@pytest.fixture
def asked(asked_in, tmp_path):
    """Such options, for an empty folder."""
    return partial(asked_in, tmp_path)
