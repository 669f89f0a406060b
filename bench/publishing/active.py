"""Check that what was saved has an effect, and the one that its cell has measured.

An adapter can be saved and loaded without a complaint and do nothing: under other names of layers
than the base has, say, or with a B that is 0. So it is loaded on the untouched base and asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bench.failures import first_line
from bench.inference.equivalence import FLOAT32_LIMIT, relative_difference
from bench.models.copy_on_write import borrow
from bench.models.loading import Base
from methods.peft_config import FILE
from tasks.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROBE_TOKENS = 16
"""Tokens on which models are compared."""

ROUNDED_LIMIT = 0.1
"""Largest relative difference of logits in half precision, where weights are rounded."""


_NO_EFFECT = "the saved adapter has no effect: training has left the model's outputs unchanged"


@torch.no_grad()
def probe_logits(model: nn.Module, base: PreTrainedModel) -> Tensor:
    """Return the logits of a few tokens spread over the vocabulary, float32 `[1, tokens, vocab]`.

    Args:
        model: The base, or one made of it.
        base: The base, which tells the vocabulary and the device.
    """
    embeddings = base.get_input_embeddings()
    count, device = embeddings.num_embeddings, embeddings.weight.device
    tokens = torch.linspace(1, count - 1, PROBE_TOKENS, device=device).long()[None]
    logits: Tensor = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
    return logits[:, -PROBE_TOKENS:].float()  # prompt types put tokens of their own before them


def limit_of(dtype: torch.dtype) -> float:
    """Return the largest relative difference of logits that rounding explains."""
    return FLOAT32_LIMIT if dtype == torch.float32 else ROUNDED_LIMIT


def check_active(base: Base, trained: Tensor, folder: Path) -> list[str]:
    """Load what was saved on the untouched base, and compare it with that and with its cell.

    A folder with all weights is not loaded, which would take the memory of another base.

    Args:
        base: The untouched base.
        trained: The logits of the trained model, by `probe_logits`.
        folder: What was saved.

    Returns:
        Warnings: nothing was learned, the saved adapter is not quite the trained one, or it could
            not be checked.

    Raises:
        UsageError: The saved adapter does not differ from the base, but the trained model does.
    """
    plain, limit = probe_logits(base.model, base.model), limit_of(base.model.dtype)
    if base.is_divided or not (folder / FILE).is_file():
        return [_NO_EFFECT] if torch.equal(trained, plain) else []
    try:
        with _loaded(base, folder) as model:
            found = probe_logits(model, base.model)
    except Exception as error:  # of a library, or of memory that holds no second adapter
        return [f"the saved adapter could not be loaded to check it: {first_line(error)}"]
    if torch.equal(found, plain):
        # Not merely by rounding: a trained model may compute in another order than the base.
        if relative_difference(trained, plain) > limit:
            raise UsageError(
                "loaded on the untouched base it has no effect, unlike the trained one"
            )
        return [_NO_EFFECT]
    difference = relative_difference(found, trained)
    if difference <= limit:
        return []
    return [
        f"the saved adapter answers otherwise than the trained model: its logits differ by "
        f"{difference:.2g} of their size"
    ]


@contextmanager
def _loaded(base: Base, folder: Path) -> Iterator[Any]:
    """Yield the untouched base with a saved adapter; random numbers go on as if it had not been."""
    from peft import PeftModel

    devices = [device for device in base.devices if device.type == "cuda"]
    with torch.random.fork_rng(devices=devices):
        borrowed, device = borrow(base).model, str(base.device)
        yield PeftModel.from_pretrained(borrowed, str(folder), torch_device=device).eval()
