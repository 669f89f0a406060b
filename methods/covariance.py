"""Input covariances of linear layers over calibration texts, as in CorDA (arXiv 2406.05223).

C is the mean over samples of X^T X, where X `[tokens, d_in]` is the layer's input for one row of a
batch, divided by |max(X)| (the largest entry, not the largest magnitude: as in the reference code).
X is not centred and padding is left out. The result equals that of PEFT's `calib_cov_distribution`
when it is fed one unpadded text at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from methods.gram import add_lower, mirror
from methods.targets import linear_layers
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Covariances:
    """One covariance for each distinct layer input: q, k and v share one, gate and up another.

    Attributes:
        matrices: C `[d_in, d_in]` of each input, float32; the key is the input's first layer.
        shared: Maps the full name of each linear layer to the key of its input in `matrices`.
        tokens: Number of tokens each input was measured on, with the keys of `matrices`.
        samples: Number of rows measured: texts, or windows of packed texts.
        means: The mean input of each `[d_in]`, float32, scaled as its rows were in C.
    """

    matrices: dict[str, Tensor]
    shared: dict[str, str]
    tokens: dict[str, int]
    samples: int
    means: dict[str, Tensor]

    def __getitem__(self, layer: str) -> Tensor:
        """Return C `[d_in, d_in]` for the input of the linear layer named `layer`."""
        return self.matrices[self.input_of(layer)]

    def input_of(self, layer: str) -> str:
        """Return the key in `matrices` for the input of the linear layer named `layer`.

        Raises:
            UsageError: No calibration text has passed through that layer.
        """
        if layer not in self.shared:
            raise UsageError(f"no calibration text passes through the layer '{layer}'")
        return self.shared[layer]

    def per_token(self, name: str, *, centred: bool = False) -> Tensor:
        """Return E[x x^T] `[d_in, d_in]` over tokens, float64; C is a sum over those of a sample.

        Args:
            name: A key of `matrices`.
            centred: Whether to take E[x] E[x]^T from it.
        """
        moment = self.matrices[name].double() * (self.samples / self.tokens[name])
        mean = self.means[name].double()
        return moment - mean[:, None] * mean if centred else moment

    def low_rank(self) -> tuple[str, ...]:
        """Return the inputs that saw fewer tokens than dimensions, so C cannot have full rank."""
        return tuple(n for n, matrix in self.matrices.items() if self.tokens[n] < len(matrix))


def covariance_bytes(widths: Iterable[int], tokens: int) -> int:
    """Return the most bytes that `input_covariances` holds at once, beside the model's own.

    All sums lie on the model's device, in float32. Beside them are copies of one input at a time:
    its rows in float32, the scaled ones, and those without padding.

    Args:
        widths: d of each distinct layer input: for a decoder layer of Llama the hidden width
            three times (q, k and v share one, gate and up one, o has its own) and down's.
        tokens: Tokens in the largest batch, padding included.
    """
    widths = list(widths)
    beside = 3 * tokens * max(widths)
    return 4 * (sum(width * width for width in widths) + beside)


def input_covariances(
    model: PreTrainedModel, batches: Iterable[Mapping[str, Tensor]], *, scaled: bool = True
) -> Covariances:
    """Run batches through the decoder, without the head, and measure every linear layer's input.

    What it holds is `covariance_bytes`.

    Args:
        model: A model on a single device.
        batches: `input_ids` and `attention_mask` `[batch, seq]`, as `text_batches` yields them.
        scaled: Whether to divide each sample by |max(X)| first; False gives the plain C.

    Raises:
        ValueError: There is no batch.
        UsageError: The input of a layer is not one row for each token.
    """
    import torch

    accumulator, samples = _Accumulator(scaled), 0
    handles = [
        module.register_forward_pre_hook(accumulator.hook(name))
        for name, module in linear_layers(model)
    ]
    try:
        with torch.no_grad():
            for batch in batches:
                accumulator.mask = batch["attention_mask"].bool()
                samples += len(accumulator.mask)
                model.base_model(**batch, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    if not samples:
        raise ValueError("a covariance needs at least one calibration text")
    return accumulator.covariances(samples)


@dataclass
class _Accumulator:
    """Sums X^T X for each distinct input; the first batch shows which layers share one."""

    scaled: bool
    mask: Tensor | None = None
    sums: dict[str, Tensor] = field(default_factory=dict)
    totals: dict[str, Tensor] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    latest: tuple[str, Tensor] | None = None

    def hook(self, name: str) -> Any:
        def measure(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if name not in self.shared:
                # Layers that share an input are called one after another on the same object.
                same = self.latest is not None and self.latest[1] is inputs[0]
                self.shared[name] = self.latest[0] if same and self.latest else name
            if self.shared[name] == name:
                self.latest = (name, inputs[0])
                self.add(name, inputs[0])

        return measure

    def add(self, name: str, inputs: Tensor) -> None:
        """Add the rows of `inputs` `[..., d_in]` that are not padding."""
        assert self.mask is not None, "the mask is set before the model runs"
        mask, width = self.mask, inputs.shape[-1]
        if inputs.numel() != mask.numel() * width:
            given, tokens = (" x ".join(map(str, tensor.shape)) for tensor in (inputs, mask))
            raise UsageError(
                f"the input of '{name}' ({given}) is not one row for each token ({tokens}), as a "
                "covariance needs it: use a method that measures no inputs, such as pissa"
            )
        # Some modules flatten batch and sequence, or put an axis of one head between them.
        values = inputs.reshape(*mask.shape, width).float()
        if self.scaled:
            largest = values.masked_fill(~mask[..., None], float("-inf")).amax(dim=(1, 2)).abs()
            values = values / largest[:, None, None]
        rows = values[mask]
        if name not in self.sums:
            self.sums[name] = rows.new_zeros(width, width)
            self.totals[name] = rows.new_zeros(width)
        add_lower(self.sums[name], rows)
        self.totals[name] += rows.sum(0)
        self.tokens[name] = self.tokens.get(name, 0) + len(rows)

    def covariances(self, samples: int) -> Covariances:
        """Return the sums divided by the number of samples, each in its own memory."""
        self.latest = None
        # Copies of all of them at once would take the memory of the model again, and more.
        matrices = {name: mirror(total).div_(samples) for name, total in self.sums.items()}
        means = {name: total / self.tokens[name] for name, total in self.totals.items()}
        return Covariances(matrices, dict(self.shared), dict(self.tokens), samples, means)
