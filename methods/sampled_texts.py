"""Texts that a model writes by itself, as drift and penalties towards the base need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def sampled_texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    starts: Sequence[str],
    texts: int,
    tokens: int,
) -> Tensor:
    """Sample texts at temperature 1, token ids `[texts, start + tokens]`, without padding.

    The caller seeds torch's generator, and keeps gradients and random states as they should be.

    Args:
        model: The model.
        tokenizer: Its tokenizer; each text begins with the special tokens that the model expects.
        starts: Then comes the first token of one of these words, in turn.
        texts: How many.
        tokens: How many tokens are sampled for each; never the end of text.
    """
    import torch

    special = tokenizer("")["input_ids"]
    words = [tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in starts]
    rows = [[*special, words[i % len(words)]] for i in range(texts)]
    begun = torch.tensor(rows, dtype=torch.long, device=model.device)
    written: Tensor = model.generate(
        begun,
        attention_mask=torch.ones_like(begun),
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        min_new_tokens=tokens,
        max_new_tokens=tokens,
        pad_token_id=tokenizer.pad_token_id,
    )
    return written
