"""Models larger than one GPU: their layers divided over all GPUs, in order, by accelerate.

accelerate moves what a layer is given to where the layer is, and what the model returns back to
where its input was. It was not yet run on two GPUs: tests divide a model over two maps of a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.config.options import DeviceMap, RunOptions
from bench.models.device import Compute
from tasks.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

Placed = Mapping[str, int | str]
"""By the name of a module the device on which it is, as accelerate writes it."""


def check_device_map(options: RunOptions, compute: Compute) -> None:
    """Refuse options that do not go with a model over all GPUs.

    Raises:
        UsageError: One GPU or none was chosen, or several workers.
    """
    if options.device_map is DeviceMap.NONE:
        return
    asked = f"--device-map {options.device_map}"
    if options.device not in ("auto", "cuda"):
        raise UsageError(
            f"{asked} --device {options.device}: a model is divided over all GPUs; leave out "
            "--device (CUDA_VISIBLE_DEVICES chooses GPUs), or --device-map"
        )
    if options.workers not in ("auto", "1"):
        raise UsageError(
            f"{asked} --workers {options.workers}: one worker takes all GPUs; leave out --workers, "
            "or start a run for each set of CUDA_VISIBLE_DEVICES on one results folder"
        )
    if not compute.device.startswith("cuda"):
        raise UsageError(f"{asked}: torch sees no CUDA device here; leave it out")


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
