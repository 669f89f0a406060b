"""Main directions of layer inputs, and ranks that follow how much they explain, as in EVA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.decomposition import Factors
from methods.lora_family import Start
from methods.notes import Notes, note
from methods.targets import sides_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.covariance import Covariances


@dataclass(frozen=True)
class Directions:
    """The principal components of a layer's inputs.

    Attributes:
        V: `[d_in, k]`, orthonormal, float64, on the CPU; the largest first.
        shares: How much of the inputs' variance each explains, `[k]`.
    """

    V: Tensor
    shares: Tensor


@dataclass(frozen=True)
class RankRangeNotes(Notes):
    """The smallest and the largest rank of a target; 0 leaves it out."""

    rank_range: str | None = note("ranks")


def explained_start(
    measured: Covariances, targets: Mapping[str, nn.Module], rank: int, rho: float
) -> Start:
    """Return where EVA starts: A along the main directions, and B = 0.

    Args:
        measured: The inputs of the targets, not scaled.
        targets: The layers to adapt, by name.
        rank: r, the rank of a target if no target is preferred.
        rho: How many times that a target may have.
    """
    import torch

    sides = {name: sides_of(linear) for name, linear in targets.items()}
    even = {name: min(rank, *pair) for name, pair in sides.items()}
    most = {name: min(round(rho * rank), *pair) for name, pair in sides.items()}
    needed = {measured.input_of(name) for name in targets}
    inputs = {key: main_directions(measured, key, max(most.values())) for key in needed}
    found = {name: inputs[measured.input_of(name)] for name in targets}
    ranks = explained_ranks({name: one.shares.tolist() for name, one in found.items()}, even, most)
    factors = {
        name: Factors(
            B=torch.zeros(sides[name][0], own), A=found[name].V[:, :own].T.float().contiguous()
        )
        for name, own in ranks.items()
        if own
    }
    spread = f"{min(ranks.values())} to {max(ranks.values())}" if rho > 1 else None
    return Start(factors, (RankRangeNotes(spread),))


def main_directions(measured: Covariances, key: str, count: int) -> Directions:
    """Return the `count` largest principal components of an input, as PEFT's EVA does.

    Their variance is that around the mean of all tokens.
    """
    import torch

    C = measured.per_token(key, centred=True)
    values, vectors = torch.linalg.eigh(C)
    shares = values.flip(0)[:count] / C.trace()
    return Directions(vectors.flip(1)[:, :count].clone().cpu(), shares.cpu())


def explained_ranks(
    shares: Mapping[str, Sequence[float]], even: Mapping[str, int], most: Mapping[str, int]
) -> dict[str, int]:
    """Return a rank for each target: all together as many directions as `even` has, the best ones.

    Directions of all targets are taken in the order of their shares, so that a target may get none.
    Of equal shares those of the target that stands first go first.

    Args:
        shares: How much each direction of a target's input explains of it, descending.
        even: The rank of each target if no target is preferred.
        most: The largest rank of each target.
    """
    ordered = sorted(
        (-share, place, name)
        for place, name in enumerate(even)
        for share in shares[name][: most[name]]
    )
    ranks = dict.fromkeys(even, 0)
    for _, _, name in ordered[: sum(even.values())]:
        ranks[name] += 1
    return ranks
