"""Layer deviation: how far each latent space is from the tokens to predict, and where to cut.

Sources: semantic layer freezing (arXiv 2406.11753), with the semantic bases of arXiv 2401.16184.
The bases are **exact**, the deviation agrees with the reviews, gains and cut are **rebuilt**.
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
"""Whether the model's final norm is applied to the states of every latent space or to none."""

DRAWS = 1000
STABLE_SHARE = 0.5
"""A cut is unstable if a smaller share of the bootstrap draws agrees on it."""

_ROWS = 8192
"""How many rows of the head are converted to float64 at a time."""

_SMALLEST = 1e-12
"""Smaller deviations are raised to this before taking logarithms."""


@dataclass(frozen=True)
class LayerDeviations:
    """How far each of the L + 1 latent spaces is from the tokens that it should predict.

    Attributes:
        per_fact: Mean deviation over each fact's answer positions, float64 `[facts, L + 1]`.
        head_bias: Whether the output head has a bias, which the semantic bases ignore.
    """

    per_fact: Tensor
    head_bias: bool

    @property
    def curve(self) -> Tensor:
        """Mean deviation over facts, float64 `[L + 1]`."""
        return self.per_fact.mean(0)


def semantic_bases(head: Tensor, tokens: Tensor) -> Tensor:
    """Return the rows `tokens` of pinv(H^T) = H (H^T H)^-1, float64 `[tokens, dim]`. **exact**.

    If the rank of H is below `dim`, the pseudo-inverse of its Gram matrix replaces the inverse.

    Args:
        head: H, the weight of the output head, `[vocabulary, dim]`; a bias plays no part.
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
    """Return 1 - cos between states and the bases of their tokens, float64 `[..., positions]`.

    Args:
        states: Hidden states, `[..., positions, dim]`.
        bases: The semantic basis of the token to predict at each position, `[positions, dim]`.
    """
    return cosine_distance(states.double(), bases.double())


def gains(curve: Tensor, gain: Gain) -> Tensor:
    """Return the gain of each layer 1..L, `[..., L]`. **rebuilt**.

    `drop` dev_(k-1) - dev_k; `ratio` ln dev_(k-1) - ln dev_k; `power` ratio / (ln(k+1) - ln k).

    Args:
        curve: Deviation of each latent space, `[..., L + 1]`.
        gain: Which of the three formulas.
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
    """Return the layer k with the largest gain, 1 <= k < L; the lowest of equals. **rebuilt**.

    Args:
        curve: Deviation of each latent space, `[L + 1]`.
        gain: How gains are computed, see `gains`.

    Raises:
        UsageError: The model has only one layer.
    """
    check_cuttable(len(curve) - 1)
    return int(gains(curve, gain)[:-1].argmax()) + 1


def bootstrap_curves(deviations: Tensor, draws: int = DRAWS) -> Tensor:
    """Return the mean deviation curves of bootstrap samples of facts, float64 `[draws, L + 1]`.

    Args:
        deviations: Deviation of each fact in each latent space, `[facts, L + 1]`.
        draws: Number of bootstrap samples, drawn with a fixed seed.
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
    """Return the share of bootstrap samples of facts that choose the same cut.

    Args:
        deviations: Deviation of each fact in each latent space, `[facts, L + 1]`.
        gain: How gains are computed, see `gains`.
        draws: Number of bootstrap samples, drawn with a fixed seed.
    """
    cut = cut_layer(deviations.mean(0), gain)
    curves = bootstrap_curves(deviations, draws)
    return sum(cut_layer(curve, gain) == cut for curve in curves) / draws


@dataclass(frozen=True)
class CutNotes(Notes):
    """A cut, how stable it is, and the curves behind it.

    Attributes:
        cut: The last frozen layer, counted from 1.
        cut_stability: Share of bootstrap draws over facts that choose the same cut.
        layer_deviation: Mean deviation of latent spaces 0..L.
        gain: Gain of layers 1..L.
        layer_deviation_low: Lower ends of its 95% bootstrap intervals over facts.
        layer_deviation_high: Their upper ends.
        gain_low: Lower ends of the gain's 95% bootstrap intervals over facts.
        gain_high: Their upper ends.
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
        """The cut and its stability: `cut after layer 20 (83% stable)`; empty without a cut."""
        if self.cut is None:
            return ""
        if self.cut_stability is None:
            return f"cut after layer {self.cut}"
        share = f"{100 * self.cut_stability:.0f}%"
        stable = f"{share} stable" if self.cut_stability >= STABLE_SHARE else f"unstable, {share}"
        return f"cut after layer {self.cut} ({stable})"

    def told(self, facts: int, kept: int | None) -> Iterator[Told]:
        """Yield the cut."""
        if self.text:
            yield Told("cut", self.text.removeprefix("cut "), self.text)


def cut_notes(deviations: LayerDeviations, gain: Gain) -> CutNotes:
    """Return the cut, its stability and the curves behind it; warns of an unstable cut."""
    import torch

    curve, stability = deviations.curve, cut_stability(deviations.per_fact, gain)
    cut = cut_layer(curve, gain)
    warnings = []
    if stability < STABLE_SHARE:
        warnings.append(
            f"unstable cut: only {stability:.0%} of bootstrap draws over facts chose layer {cut}"
        )
    if deviations.head_bias:
        warnings.append("layer deviation ignores the bias of the output head, as in its paper")
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
