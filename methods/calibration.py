"""Calibration texts as batches of tokens: one text per row, or packed into windows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from tasks.errors import UsageError
from tasks.fact import Fact, hash_fraction
from tasks.prompt import fact_text

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from methods.parts import Setting

BATCH = 16

ENOUGH = 16_384
"""Tokens that calibration asks for where nothing else is said: eight windows of 2,048."""


def calibration_facts(facts: Sequence[Fact], samples: int | None = None) -> list[Fact]:
    """Return at most `samples` facts, in an order that a fixed hash decides."""
    return sorted(facts, key=lambda fact: hash_fraction("calibration", fact.id))[:samples]


def divided_facts(facts: Sequence[Fact], sets: int, samples: int | None = None) -> list[list[Fact]]:
    """Return the facts of `calibration_facts` in so many sets of about the same size, or fewer.

    Args:
        facts: The facts to choose from, at least one.
        sets: How many; no set is empty.
        samples: The largest number of facts, all together.
    """
    ordered = calibration_facts(facts, samples)
    return [ordered[first::sets] for first in range(min(sets, len(ordered)))]


def enough_facts(
    tokenizer: PreTrainedTokenizerBase,
    facts: Sequence[Fact],
    tokens: int = ENOUGH,
    text: Callable[[Fact], str] = fact_text,
) -> list[Fact]:
    """Return the first of `calibration_facts` whose joined texts have `tokens` tokens, or all.

    Args:
        tokenizer: The model's tokenizer.
        facts: The facts to choose from.
        tokens: How many tokens the texts must have, at the least.
        text: Returns a fact as text.
    """
    # Each text has a token or more, so that more texts than tokens are never needed.
    ordered = calibration_facts(facts, tokens)
    texts = [text(fact) for fact in ordered]

    def joined(count: int) -> int:
        return len(joined_tokens(tokenizer, texts[:count]))

    return ordered[: bisect_left(range(len(texts) + 1), tokens, key=joined)]


def joined_tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[int]:
    """Return the token ids of the texts joined by newlines."""
    # Not verbose: the joined text is longer than any model's context, and is cut afterwards.
    return list(tokenizer("\n".join(texts), verbose=False)["input_ids"])


def window_length(model: PreTrainedModel, pack: int | None) -> int:
    """Return the tokens per window: `pack`, or the model's context where that is shorter.

    It is 0 where texts are not packed: `pack` is None or 0.
    """
    if not pack:
        return 0
    config = model.config.get_text_config()
    return min(pack, getattr(config, "max_position_embeddings", None) or pack)


def setting_batches(
    setting: Setting, source: str, pack: int | None, samples: int | None
) -> Iterator[dict[str, Tensor]]:
    """Return the batches of `Setting.calibration_batches`, which says what the arguments are.

    Args:
        setting: The cell.
        source: `task` or `knowledge`.
        pack: Tokens per window, if texts are packed.
        samples: The largest number of facts.
    """
    window = window_length(setting.model, pack)
    if source == "task":
        chosen = calibration_facts(setting.facts, samples)
        texts = [setting.signals.prompt.text(fact) for fact in chosen]
    else:
        texts = [fact_text(fact) for fact in calibration_facts(setting.calibration, samples)]
    return text_batches(setting.tokenizer, texts, setting.model.device, window)


def text_batches(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    device: torch.device,
    pack: int | None = None,
    batch_size: int = BATCH,
) -> Iterator[dict[str, Tensor]]:
    """Return batches of `input_ids` and `attention_mask` `[batch, seq]` for `model(**batch)`.

    Rows are padded on the right, so each token has the position it would have in a row of its own.

    Args:
        tokenizer: The model's tokenizer.
        texts: At least one text.
        device: The device on which the model takes its input.
        pack: Tokens per window: the texts are joined by newlines and cut into consecutive windows,
            the last of which may be shorter. Without it each text is a row, and texts of similar
            length share a batch.
        batch_size: Rows per batch.

    Raises:
        UsageError: There is no text.
    """
    if not texts:
        raise UsageError("there are no facts to calibrate on")
    if pack:
        tokens = joined_tokens(tokenizer, texts)
        rows = [tokens[start : start + pack] for start in range(0, len(tokens), pack)]
    else:
        rows = tokenizer(sorted(texts, key=len))["input_ids"]
    return _padded(rows, tokenizer.pad_token_id, device, batch_size)


def _padded(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device, batch_size: int
) -> Iterator[dict[str, Tensor]]:
    import torch
    from torch.nn.utils.rnn import pad_sequence

    for start in range(0, len(rows), batch_size):
        batch = [torch.tensor(row, device=device) for row in rows[start : start + batch_size]]
        ones = [torch.ones_like(row) for row in batch]
        yield {
            "input_ids": pad_sequence(batch, batch_first=True, padding_value=pad),
            "attention_mask": pad_sequence(ones, batch_first=True),
        }
