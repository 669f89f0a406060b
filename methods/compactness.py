"""How compact a layer's spectrum is, as CorDA++ (arXiv 2506.13187) weighs covariances and ranks.

**rebuilt** from a summary by others. For singular values s_1 >= ... >= s_n of a layer with d_out
outputs,

    pi = sqrt(d_out s_1) / s_n,

which grows with the condition number. A covariance is the better the less log pi t / s_1 is, t
being the sum of the last r values; a direction costs log pi s / (s_1 + ... + s_n).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from methods.subspaces import End

if TYPE_CHECKING:
    from torch import Tensor


def log_pi(spectrum: Tensor, d_out: int) -> float:
    """Return log pi.

    Args:
        spectrum: Singular values, descending; those below rounding count as rounding.
        d_out: Outputs of the layer.
    """
    import torch

    largest = spectrum[0]
    least = spectrum[-1].clamp_min(torch.finfo(spectrum.dtype).eps * float(largest))
    return float((d_out * largest).sqrt().log() - least.log())


def looseness(spectrum: Tensor, d_out: int, rank: int) -> float:
    """Return log pi t / s_1: the covariance with the least is the most compact.

    Args:
        spectrum: Singular values, descending.
        d_out: Outputs of the layer.
        rank: r.
    """
    return log_pi(spectrum, d_out) * float(spectrum[-rank:].sum() / spectrum[0])


def most_compact(
    weight: Tensor, candidates: Sequence[Tensor], rank: int, *, of_outputs: bool
) -> tuple[Tensor, Tensor]:
    """Return the most compact of some covariances for a weight, and its spectrum.

    Args:
        weight: W `[d_out, d_in]`.
        candidates: C `[d_in, d_in]`, at least one.
        rank: r.
        of_outputs: Whether the spectrum is that of W C, or that of C.
    """
    import torch

    W = weight.double()
    spectra = [torch.linalg.svdvals(W @ C if of_outputs else C.double()) for C in candidates]
    scores = [looseness(spectrum, len(W), rank) for spectrum in spectra]
    best = scores.index(min(scores))
    return candidates[best], spectra[best]


def direction_costs(spectrum: Tensor, d_out: int, count: int, end: End) -> tuple[float, ...]:
    """Return what each of the first `count` directions from one end costs, as a rank grows.

    From the smallest on, it is log pi s / sum(s), so that what carries least goes first; from the
    largest on, it is the negative, so that what carries most does.

    Args:
        spectrum: Singular values, descending.
        d_out: Outputs of the layer.
        count: How many.
        end: Where a rank begins.
    """
    weights = log_pi(spectrum, d_out) * spectrum / spectrum.sum()
    ordered = -weights if end is End.LARGEST else weights.flip(0)
    return tuple(ordered[:count].tolist())
