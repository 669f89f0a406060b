"""How many tokens a model reads, from its configuration alone."""

import json

import pytest
from transformers import Gemma3Config, GPT2Config, LlamaConfig, MambaConfig

from bench.models.registry import ModelSource
from bench.models.shape import context_of, context_window

CONFIGS = [
    (LlamaConfig(max_position_embeddings=77), 77),
    (GPT2Config(n_positions=55), 55),
    (Gemma3Config(text_config={"max_position_embeddings": 99}), 99),
    (MambaConfig(), None),
]


@pytest.mark.parametrize(("config", "window"), CONFIGS)
def test_the_window_is_read_from_any_configuration_and_from_its_file(tmp_path, config, window):
    assert context_window(config) == window
    config.save_pretrained(tmp_path)
    assert context_of(ModelSource(str(tmp_path), "folder")) == window


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"max_position_embeddings": "many"})])
def test_what_cannot_be_read_sets_no_bound(tmp_path, text):
    source = ModelSource(str(tmp_path), "folder")
    assert context_of(source) is None
    (tmp_path / "config.json").write_text(text)
    context_of.cache_clear()
    assert context_of(source) is None
