"""Models larger than one GPU: accelerate divides their layers over all GPUs, in order.

It moves the input of each layer to the layer's device, and the output of the model back to the
device of its input. This has not run on two GPUs yet: tests put accelerate's hooks on a model
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

    accelerate would keep the rest in memory or on disk and load it for each forward pass; such
    weights cannot be trained.

    Args:
        name: The model's name, for the error.
        placed: Where accelerate put its parts; empty without a device map.

    Raises:
        UsageError: Some parts are on the CPU and others on GPUs, or a part is on disk.
    """
    away = sorted({str(device) for device in placed.values()} & {"cpu", "disk", "meta"})
    if (away and len(set(placed.values())) > 1) or {"disk", "meta"} & set(away):
        raise UsageError(
            f"model '{name}' does not fit on the GPUs: part of it would be on "
            f"{' and '.join(away)}; use more or larger GPUs, or --dtype bfloat16"
        )


def is_divided(model: nn.Module) -> bool:
    """Return whether a model, below any adapter, has parts on several devices."""
    return len(getattr(unwrap(model), "hf_device_map", {})) > 1
