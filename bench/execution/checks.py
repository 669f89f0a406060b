"""Which executor a run asks for, checked before anything else happens."""

from __future__ import annotations

from importlib.util import find_spec

from bench.config.options import DeviceMap, Executor, RunOptions
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
