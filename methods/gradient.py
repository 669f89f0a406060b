"""Mean gradients of the weights of linear layers, which starts such as LoRA-GA's are cut from.

G is the mean over rows of dL/dW `[d_out, d_in]`, where L is the loss of one row on the untouched
base, so that it does not depend on how rows are batched. The weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from methods.calibration import BATCH
from methods.targets import is_transposed, linear_layers, weight_of

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

TOKENS_AT_ONCE = 2048
"""Most tokens of a batch, padding included; all that its pass computes is kept for the way back."""

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Gradients:
    """The mean gradient of every linear layer except the head.

    Attributes:
        matrices: G `[d_out, d_in]` by the layer's full name, float32, on the CPU.
        samples: Number of rows that they are the mean of.
    """

    matrices: dict[str, Tensor]
    samples: int


def rows_at_once(longest: int) -> int:
    """Return how many rows of at most `longest` tokens to run at once, from 1 to `BATCH`."""
    return max(1, min(BATCH, TOKENS_AT_ONCE // longest))


def mean_gradients(
    model: PreTrainedModel, batches: Iterable[Batch], losses: Callable[[Batch], Tensor]
) -> Gradients:
    """Run batches forwards and backwards, and average the gradients of the linear layers.

    On the model's device lies the gradient of one layer at a time: each is added to its sum, on the
    CPU, as soon as the backward pass has it.

    Args:
        model: A borrowed model whose weights may require gradients meanwhile, in evaluation mode.
        batches: What `losses` takes.
        losses: Runs the model on a batch and returns the loss of each of its rows, `[rows]`.

    Raises:
        UsageError: The weights are quantised.
        ValueError: There is no batch.
    """
    import torch

    layers = dict(linear_layers(model))
    shapes = {name: weight_of(linear).shape for name, linear in layers.items()}
    sums = {name: torch.zeros(shape) for name, shape in shapes.items()}
    required = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    handles, rows = [], 0
    try:
        for parameter, _ in required:
            parameter.requires_grad_(False)
        for name, linear in layers.items():
            weight: nn.Parameter = linear.weight  # type: ignore[assignment]
            weight.requires_grad_(True)
            take = partial(_take, sums[name], transposed=is_transposed(linear))
            handles.append(weight.register_post_accumulate_grad_hook(take))
        with torch.enable_grad():
            for batch in batches:
                found = losses(batch)
                found.sum().backward()
                rows += len(found)
    finally:
        for handle in handles:
            handle.remove()
        for parameter, before in required:
            parameter.requires_grad_(before)
            parameter.grad = None
    if not rows:
        raise ValueError("a mean gradient needs at least one row")
    return Gradients({name: total.div_(rows) for name, total in sums.items()}, rows)


def _take(total: Tensor, parameter: Tensor, *, transposed: bool) -> None:
    """Add the gradient that a parameter has just got to a sum, and free it."""
    found, parameter.grad = parameter.grad, None
    if found is not None:
        total.add_((found.T if transposed else found).to("cpu", total.dtype))
