"""Counts the operations that a GPU would launch, on a CPU."""

from __future__ import annotations

from collections import Counter

from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM

FACTS = [
    (f"Where is the {thing} of the {whose}?", place)
    for thing, whose, place in [
        ("cup", "cook", "attic"),
        ("cup", "king", "barn"),
        ("book", "cook", "cellar"),
        ("book", "nurse", "garden"),
        ("key", "king", "harbour"),
        ("key", "cook", "kitchen"),
        ("lamp", "nurse", "library"),
        ("lamp", "king", "mill"),
    ]
]
"""Eight questions of similar lengths that share beginnings, as those of a relation do."""


class Calls(TorchDispatchMode):
    """Counts calls that are no views; one on a list of tensors counts once."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if not (func.is_view or name in ("_unsafe_view", "detach")):
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))

    @property
    def total(self):
        return self.counts.total()


def shape_of_1b():
    """Llama-3.2-1B at hidden 64: sixteen layers, and 8 query heads for 2 of keys, not 32 for 8."""
    import torch

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=257,
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=16,
        num_attention_heads=8,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)
