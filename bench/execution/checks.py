"""Options of a run that must fit each other and this machine, checked before anything happens."""

from __future__ import annotations

from importlib.util import find_spec

from bench.config.options import DeviceMap, Executor, RunOptions
from bench.models.device import Compute
from tasks.errors import UsageError


def check_executor(options: RunOptions) -> None:
    """Check that the options of an executor fit it, and that it is installed.

    Raises:
        UsageError: They do not, or it is not.
    """
    if options.executor is not Executor.RAY:
        if options.ray_address is not None:
            raise UsageError(f"--ray-address '{options.ray_address}' goes with --executor ray")
        return
    if ":" in options.device:
        raise UsageError(
            f"--device '{options.device}': with --executor ray, Ray chooses the GPUs; write cuda"
        )
    if options.device_map is not DeviceMap.NONE:
        raise UsageError(
            f"--device-map {options.device_map}: with --executor ray each worker has one GPU; "
            "leave out --executor, or --device-map"
        )
    if find_spec("ray") is None:
        raise UsageError(
            "--executor ray needs the package ray, which is not installed: "
            'pip install "semantic-peft-bench[ray]"'
        )


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
