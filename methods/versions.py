"""Code that parts share, each piece with a version that is part of the cells that use it.

Raise a version when the piece computes other numbers: the cells of all parts that use it run again,
and no others. `tests/bench/test_golden_numbers.py` fails if numbers change and the version does
not. A module that is not listed here counts with its whole syntax tree, so every edit of its code
runs cells again. The version of the training loop is in `bench/training/schedule.py`, that of
evaluation in `bench/evaluation/version.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Machinery:
    """Code that several parts share.

    Attributes:
        version: Counted from 1.
        modules: Its modules; a part that imports one, even indirectly, uses it.
        signals: Attributes of `Signals` and `Setting` that it computes; a part that asks for one
            uses it.
    """

    version: int
    modules: frozenset[str]
    signals: frozenset[str] = frozenset()


def _machinery(version: int, *modules: str, signals: tuple[str, ...] = ()) -> Machinery:
    names = frozenset(f"methods.{module}" for module in modules)
    return Machinery(version, names, frozenset(signals))


MACHINERY = {
    "targets": _machinery(1, "targets"),
    "low-rank adapters": _machinery(
        1,
        "calibrated",
        "difference",
        "lora_family",
        "peft_adapter",
        "rank_budget",
        "side_by_side",
    ),
    "low-rank starts": _machinery(1, "decomposition", "krylov", "subspaces"),
    "gram": _machinery(1, "gram"),
    "projections": _machinery(1, "projections"),
    "ranks by layer": _machinery(1, "compactness", "rank_allocation"),
    "covariance": _machinery(2, "covariance", signals=("covariance",)),
    "gradient": _machinery(1, "gradient", "gradient_starts", signals=("gradient",)),
    "explained variance": _machinery(1, "explained_variance"),
    "calibration": _machinery(
        1, "calibration", signals=("covariance", "gradient", "calibration_batches")
    ),
    "PEFT's types": _machinery(1, "peft_config", "peft_training"),
    "distance": _machinery(1, "semantics", "encoder", signals=("distance", "distance_in")),
    "filters": _machinery(1, "fact_filter"),
    "weights": _machinery(1, "weighting"),
    "cuts": _machinery(1, "layer_deviation", signals=("layer_deviation",)),
    "layers": _machinery(1, "layer_choice"),
    "occlusion": _machinery(1, "occlusion", signals=("target_losses",)),
}
"""Each piece by the name under which the golden numbers are stored."""

REWRITTEN = {
    # What corda shares with other starts from data moved to `methods.calibrated`.
    "0b1edfd203b5461da849808f116c2f3d516f617a3879948af48b64e163ef22ac": (
        "2bd5e12bc492904e1174993d5cc02871683e101d4b017e622da7d12956dfc83f"
    ),
}
"""Files of parts that were rewritten without another number: the digest of a file as it is now, and
the one it counts with, under which its cells were stored. Whatever is edited after that has another
digest, and counts as itself."""
