"""Put what a first step has saved into the weights of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from methods.peft_config import FILE, one_line
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


def merge_saved(
    model: PreTrainedModel, folder: Path, probe: Callable[[Any], Tensor]
) -> tuple[PreTrainedModel, Tensor | None]:
    """Give a borrowed base the weights that a first step has saved.

    Args:
        model: The borrowed base, which is changed.
        folder: An adapter in PEFT's format, or a transformers folder with all weights.
        probe: Runs a model and returns its logits.

    Returns:
        The model with the merged weights, and the logits with the adapter before it was merged;
        None where there is no adapter.

    Raises:
        UsageError: The adapter cannot be merged.
    """
    if not (folder / FILE).is_file():
        take_weights(model, folder)
        return model, None
    import torch
    from peft import PeftModel

    try:
        device = str(next(model.parameters()).device)
        adapted: Any = PeftModel.from_pretrained(model, str(folder), torch_device=device).eval()
        with torch.no_grad():
            before = probe(adapted)
        whole = adapted.merge_and_unload(safe_merge=True)
    except (AttributeError, NotImplementedError, OSError, TypeError, ValueError) as error:
        raise UsageError(
            f"the adapter in '{folder}' cannot be merged: {one_line(error)}"
        ) from error
    return cast("PreTrainedModel", whole).eval().requires_grad_(False), before


def take_weights(model: PreTrainedModel, folder: Path) -> None:
    """Give a model the weights of a transformers folder, where they differ from its own.

    Raises:
        UsageError: They cannot be loaded, or are those of another model.
    """
    import torch

    kind = cast("Any", type(model))
    try:
        trained = kind.from_pretrained(str(folder), dtype=model.dtype, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot load '{folder}': {one_line(error)}") from error
    theirs = dict(trained.named_parameters())
    for name, own in model.named_parameters():
        found = theirs.get(name)
        if found is None or found.shape != own.shape:
            raise UsageError(f"'{folder}' holds another model: it has no '{name}' of this size")
        if not torch.equal(tensor := found.to(own.device, own.dtype), own):
            own.data = tensor  # not written to: its storage is shared with the base
