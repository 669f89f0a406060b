"""Models larger than one GPU: their layers divided over all GPUs, in order, by accelerate.

accelerate moves what a layer is given to where the layer is, and what the model returns back to
where its input was. This has not run on two GPUs yet: tests put accelerate's hooks on a model
whose parts are all on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bench.models.unwrap import unwrap
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

DevicesOfParts = Mapping[str, int | str]
"""accelerate's device map: the name of a module -> the device that holds it."""


def check_placed(name: str, placed: DevicesOfParts) -> None:
    """Refuse a model that does not fit on the GPUs.

    accelerate would keep the rest in memory or on disk and bring it over for each forward pass;
    those weights cannot be trained.

    Args:
        name: Of the model, for the error.
        placed: Where accelerate put its parts; empty where it was not asked to.

    Raises:
        UsageError: A part is on the CPU beside others on GPUs, or on disk.
    """
    away = sorted({str(device) for device in placed.values()} & {"cpu", "disk", "meta"})
    if (away and len(set(placed.values())) > 1) or {"disk", "meta"} & set(away):
        raise UsageError(
            f"model '{name}' does not fit on the GPUs: {' and '.join(away)} would hold a part of "
            "it; give it more or larger GPUs, or --dtype bfloat16"
        )


def is_divided(model: nn.Module) -> bool:
    """Return whether a model, below any adapter, has parts on several devices."""
    return len(getattr(unwrap(model), "hf_device_map", {})) > 1
