"""Models larger than one GPU: their layers divided over all GPUs, in order, by accelerate.

accelerate moves what a layer is given to where the layer is, and what the model returns back to
where its input was. It was not yet run on two GPUs: tests divide a model over two maps of a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

Placed = Mapping[str, int | str]
"""By the name of a module the device on which it is, as accelerate writes it."""


def check_placed(name: str, placed: Placed) -> None:
    """Refuse a model that does not fit: what lies elsewhere than computed on cannot be trained.

    Raises:
        UsageError: A part of it is offloaded.
    """
    away = sorted({str(device) for device in placed.values()} & {"cpu", "disk", "meta"})
    if (away and len(set(placed.values())) > 1) or {"disk", "meta"} & set(away):
        raise UsageError(
            f"model '{name}' does not fit on the GPUs: {' and '.join(away)} would hold a part of "
            "it; give it more or larger GPUs, or --dtype bfloat16"
        )


def is_divided(model: nn.Module) -> bool:
    """Return whether a base, below any adapter, has parts that were placed apart."""
    inner: Any = getattr(model, "get_base_model", lambda: model)()
    return len(getattr(inner, "hf_device_map", {})) > 1
