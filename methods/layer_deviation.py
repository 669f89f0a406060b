"""Layer deviation: how far each latent space is from the tokens to predict, and where to cut.

Source: semantic layer freezing (2406.11753) on the semantic bases of 2401.16184. The bases are
**exact**, the deviation agrees with the reviews, gains and cut are **rebuilt**.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods.layer_choice import check_cuttable
from methods.notes import Notes, Told, note
from methods.semantics import cosine_distance

if TYPE_CHECKING:
    from torch import Tensor

Gain = Literal["drop", "ratio", "power"]
Norm = Literal["final", "raw"]
"""Whether the final norm is applied to the states of every latent space, or to none."""

DRAWS = 1000
STABLE_SHARE = 0.5
"""A cut that fewer bootstrap draws than this agree on is unstable."""

_ROWS = 8192
"""Rows of the head taken to float64 at a time."""

_SMALLEST = 1e-12
"""Deviations below this count as this in logarithms."""


@dataclass(frozen=True)
class LayerDeviations:
    """How far each latent space is from the tokens that it should predict.

    Attributes:
        per_fact: Mean over a fact's answer positions, float64 `[facts, L + 1]`.
        head_bias: Whether the head has a bias, which the semantic bases ignore.
    """

    per_fact: Tensor
    head_bias: bool

    @property
    def curve(self) -> Tensor:
        """Mean over facts, float64 `[L + 1]`."""
        return self.per_fact.mean(0)


def semantic_bases(head: Tensor, tokens: Tensor) -> Tensor:
    """Return the rows `tokens` of pinv(H^T) = H (H^T H)^-1, float64 `[tokens, dim]`. **exact**.

    A head of lower rank than `dim` has the pseudo-inverse of its Gram matrix instead.

    Args:
        head: H, the weight of the output head, `[vocabulary, dim]`; its bias has no part in this.
        tokens: Token ids, `[tokens]`.
    """
    import torch

    gram = sum(rows.T @ rows for rows in _in_float64(head))
    wanted = head[tokens].detach().double()
    factor, failed = torch.linalg.cholesky_ex(gram)
    diagonal = factor.diagonal()
    # The Gram matrix squares the condition number: beyond 1e7 Cholesky's digits are noise.
    if failed or diagonal.min() < 1e-7 * diagonal.max():
        return wanted @ torch.linalg.pinv(gram, hermitian=True)
    return torch.cholesky_solve(wanted.T, factor).T


def deviation(states: Tensor, bases: Tensor) -> Tensor:
    """Return 1 - cos of states to the bases of what they predict, float64 `[..., positions]`.

    Args:
        states: `[..., positions, dim]`.
        bases: `[positions, dim]`.
    """
    return cosine_distance(states.double(), bases.double())


def gains(curve: Tensor, gain: Gain) -> Tensor:
    """Return the gain of each layer 1..L, `[..., L]`. **rebuilt**.

    `drop` dev_(k-1) - dev_k; `ratio` ln dev_(k-1) - ln dev_k; `power` ratio / (ln(k+1) - ln k).

    Args:
        curve: Deviation of each latent space, `[..., L + 1]`.
        gain: Which.
    """
    import torch

    if gain == "drop":
        return curve[..., :-1] - curve[..., 1:]
    logarithms = curve.clamp(min=_SMALLEST).log()
    ratio = logarithms[..., :-1] - logarithms[..., 1:]
    if gain == "ratio":
        return ratio
    depth = torch.arange(1, curve.shape[-1] + 1, dtype=curve.dtype).log()
    return ratio / (depth[1:] - depth[:-1])


def cut_layer(curve: Tensor, gain: Gain) -> int:
    """Return the layer k, 1 <= k < L, of the largest gain; the lowest of equals. **rebuilt**.

    Args:
        curve: Deviation of each latent space, `[L + 1]`.
        gain: Which.

    Raises:
        UsageError: A model of one layer.
    """
    check_cuttable(len(curve) - 1)
    return int(gains(curve, gain)[:-1].argmax()) + 1


def bootstrap_curves(deviations: Tensor, draws: int = DRAWS) -> Tensor:
    """Return the curves of bootstrap samples of facts, float64 `[draws, L + 1]`.

    Args:
        deviations: Of each fact in each latent space, `[facts, L + 1]`.
        draws: Bootstrap samples, drawn from a fixed seed.
    """
    import torch

    facts, generator = len(deviations), torch.Generator().manual_seed(0)
    curves = []
    for _ in range(draws):
        drawn = torch.randint(facts, (facts,), generator=generator)
        counts = torch.bincount(drawn, minlength=facts).to(deviations.dtype)
        curves.append(counts @ deviations / facts)
    return torch.stack(curves)


def cut_stability(deviations: Tensor, gain: Gain, draws: int = DRAWS) -> float:
    """Return the share of bootstrap samples of facts that put the cut at the same layer.

    Args:
        deviations: Of each fact in each latent space, `[facts, L + 1]`.
        gain: Which.
        draws: Bootstrap samples, drawn from a fixed seed.
    """
    cut = cut_layer(deviations.mean(0), gain)
    curves = bootstrap_curves(deviations, draws)
    return sum(cut_layer(curve, gain) == cut for curve in curves) / draws


@dataclass(frozen=True)
class CutNotes(Notes):
    """A cut, how stable it is, and what it rests on.

    Attributes:
        cut: The last frozen layer, from 1.
        cut_stability: The share of bootstrap draws over facts that cut there too.
        layer_deviation: Of latent spaces 0..L.
        gain: Of layers 1..L.
        layer_deviation_low, layer_deviation_high, gain_low, gain_high: The ends of their 95 %
            bootstrap intervals over facts.
    """

    cut: int | None = note()
    cut_stability: float | None = note()
    layer_deviation: tuple[float, ...] | None = note()
    gain: tuple[float, ...] | None = note()
    layer_deviation_low: tuple[float, ...] | None = note()
    layer_deviation_high: tuple[float, ...] | None = note()
    gain_low: tuple[float, ...] | None = note()
    gain_high: tuple[float, ...] | None = note()

    @property
    def text(self) -> str:
        """The cut with its stability: `cut 20, 83 % stable`; empty where there is none."""
        if self.cut is None or self.cut_stability is None:
            return "" if self.cut is None else f"cut {self.cut}"
        unstable = " unstable:" if self.cut_stability < STABLE_SHARE else ""
        return f"cut{unstable} {self.cut}, {100 * self.cut_stability:.0f} % stable"

    def told(self, facts: int, kept: int | None) -> Iterator[Told]:
        """Yield the cut."""
        if self.text:
            yield Told("cut", self.text.removeprefix("cut "), self.text)


def cut_notes(deviations: LayerDeviations, gain: Gain) -> CutNotes:
    """Return the cut, its stability and what it rests on, as a record keeps them."""
    import torch

    curve, stability = deviations.curve, cut_stability(deviations.per_fact, gain)
    cut = cut_layer(curve, gain)
    warnings = []
    if stability < STABLE_SHARE:
        warnings.append(
            f"cut unstable: only {stability:.0%} of bootstrap draws over facts cut at layer {cut}"
        )
    if deviations.head_bias:
        warnings.append("layer deviation ignores the bias of the output head, as its source does")
    curves = bootstrap_curves(deviations.per_fact)  # the very draws that the stability counts
    ends = torch.tensor([0.025, 0.975], dtype=curves.dtype)
    low, high = curves.quantile(ends, dim=0).tolist()
    gain_low, gain_high = gains(curves, gain).quantile(ends, dim=0).tolist()
    return CutNotes(
        cut=cut,
        cut_stability=stability,
        layer_deviation=tuple(curve.tolist()),
        gain=tuple(gains(curve, gain).tolist()),
        layer_deviation_low=tuple(low),
        layer_deviation_high=tuple(high),
        gain_low=tuple(gain_low),
        gain_high=tuple(gain_high),
        warnings=tuple(warnings),
    )


def _in_float64(head: Tensor) -> Iterator[Tensor]:
    for start in range(0, len(head), _ROWS):
        yield head[start : start + _ROWS].detach().double()
