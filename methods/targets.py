"""Which modules of a model an adapter changes, by full name, and their weights as matrices.

The targets are all linear layers except the head, restricted to the chosen decoder layers if a
placement chooses some.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


def decoder_layers(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """Return the name of the list of decoder layers and the list itself.

    Raises:
        UsageError: The model has no list with as many layers as its configuration says.
    """
    from torch import nn

    count = model.config.get_text_config().num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return name, module
    raise UsageError(f"cannot find the {count} decoder layers of {type(model).__name__}")


def layer_prefixes(model: PreTrainedModel, layers: Sequence[int] | None) -> tuple[str, ...]:
    """Return the prefixes of module names inside the chosen layers; `('',)` for all layers."""
    if layers is None:
        return ("",)
    name, modules = decoder_layers(model)
    for layer in layers:
        if not 0 <= layer < len(modules):
            raise UsageError(f"no decoder layer {layer}: the model has 0 to {len(modules) - 1}")
    return tuple(f"{name}.{layer}." for layer in layers)


def linear_layers(
    model: PreTrainedModel, layers: Sequence[int] | None = None
) -> Iterator[tuple[str, nn.Module]]:
    """Yield the name and module of each linear layer (`Linear`, `Conv1D`) except the head.

    Args:
        model: The base.
        layers: Indices of the decoder layers to search, from 0; None searches the whole model.
    """
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    prefixes, head = layer_prefixes(model, layers), model.get_output_embeddings()
    for name, module in model.named_modules():
        linear = isinstance(module, nn.Linear | Conv1D) and module is not head
        if linear and name.startswith(prefixes):
            yield name, module


def linear_names(model: PreTrainedModel, layers: Sequence[int] | None = None) -> list[str]:
    """Return the full names of `linear_layers`."""
    return [name for name, _ in linear_layers(model, layers)]


def weight_of(linear: nn.Module) -> Tensor:
    """Return a linear layer's weight as `[d_out, d_in]`; `Conv1D` stores the transpose."""
    weight: Tensor = linear.weight.detach()  # type: ignore[operator]
    return weight.T if is_transposed(linear) else weight


def set_weight(linear: nn.Module, weight: Tensor) -> None:
    """Give a linear layer a new weight `[d_out, d_in]`, in the dtype that it had.

    The parameter is replaced, not overwritten, because the base in memory may share the old one.
    """
    from torch import nn

    stored = (weight.T if is_transposed(linear) else weight).to(linear.weight.dtype).contiguous()  # type: ignore[arg-type]
    linear.weight = nn.Parameter(stored, requires_grad=False)


def is_transposed(linear: nn.Module) -> bool:
    """Return whether a layer stores its weight as `[d_in, d_out]`: GPT-2's `Conv1D` does."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(linear, Conv1D)
