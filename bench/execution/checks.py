"""Check the options of a run before anything else happens, without importing torch."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.config.grid_file import located, read_grid_file
from bench.config.options import (
    DeviceMap,
    Executor,
    RunOptions,
    build_options,
    grid_options,
    validated,
)
from bench.config.types import Attention, DType, Quantisation
from bench.evaluation.metrics import metric_table
from bench.models.device import Compute
from bench.models.quantisation import check_quantisation, refuse_packed
from bench.models.registry import resolve_model
from bench.planning.candidates import Method, methods_of
from bench.planning.first_steps import check_first_step
from bench.planning.reference import run_reference
from bench.trackers.registry import destinations
from tasks.errors import UsageError
from tasks.forgetting.names import knowledge_names
from tasks.resolve import resolve_task


def checked_options(given: Mapping[str, Any], config: Path | None = None) -> RunOptions:
    """Make the options of a run from what was typed and from a grid file, and check every name.

    Args:
        given: The values by the name of the option; they win over those of the file.
        config: The grid file.

    Raises:
        UsageError: What `build_options` and `check_names` raise; if the file is at fault, with the
            line of its value.
    """
    options = build_options(given, config)
    try:
        check_names(options)
    except UsageError as error:
        if config is None:
            raise
        grid = read_grid_file(config)

        def check(content: Mapping[Any, Any]) -> None:
            check_names(validated(RunOptions, {**grid_options(grid, content), **given}))

        raise located(error, grid, check) from error
    return options


def check_names(options: RunOptions) -> None:
    """Check every name and folder of a run.

    Raises:
        UsageError: A method, part, parameter, task, model or reference is unknown, a folder is
            missing, an executor or a tracker is not installed, or a metric cannot be loaded.
    """
    methods = methods_of(options)
    check_methods(options, methods)
    check_first_step(options, methods)
    forgotten = knowledge_names(options.forgetting)
    for name in options.tasks:
        resolve_task(name, trained=True, forgotten=name in forgotten)
    for name in options.models:
        resolve_model(name)
    run_reference(options)
    if options.data_dir is not None and not options.data_dir.is_dir():
        raise UsageError(f"--data-dir '{options.data_dir}' is not a folder")
    check_executor(options)
    destinations(options.log_to)
    metric_table()


def check_machine(options: RunOptions, compute: Compute) -> None:
    """Check that this machine supports the options.

    Raises:
        UsageError: --timeout needs a timer that the system lacks, --device-map does not fit the
            other options, or --quantize or --attention does not fit the device.
    """
    if options.timeout is not None and not hasattr(signal, "setitimer"):
        raise UsageError("--timeout needs a system with interval timers (Linux, macOS)")
    check_device_map(options, compute)
    check_quantisation(options.quantize, compute.device)
    check_attention(compute)


def check_executor(options: RunOptions) -> None:
    """Check that the executor is installed and that the other options fit it.

    Raises:
        UsageError: It is not, or they do not.
    """
    if options.executor is not Executor.RAY:
        if options.ray_address is not None:
            raise UsageError(f"--ray-address '{options.ray_address}' needs --executor ray")
        return
    if ":" in options.device:
        raise UsageError(
            f"--device '{options.device}': with --executor ray, Ray chooses the GPUs; write cuda"
        )
    if options.device_map is not DeviceMap.NONE:
        raise UsageError(
            f"--device-map {options.device_map}: with --executor ray each worker has one GPU; "
            "leave out --executor or --device-map"
        )
    if find_spec("ray") is None:
        raise UsageError(
            "--executor ray needs the package ray, which is not installed: "
            'pip install "semantic-peft-bench[ray]"'
        )


def check_device_map(options: RunOptions, compute: Compute) -> None:
    """Refuse options that do not fit a model that is divided over all GPUs.

    Raises:
        UsageError: They choose one GPU, no GPU or several workers.
    """
    if options.device_map is DeviceMap.NONE:
        return
    asked = f"--device-map {options.device_map}"
    if options.device not in ("auto", "cuda"):
        raise UsageError(
            f"{asked} --device {options.device}: a model is divided over all GPUs; leave out "
            "--device (CUDA_VISIBLE_DEVICES chooses GPUs) or --device-map"
        )
    if options.workers not in ("auto", "1"):
        raise UsageError(
            f"{asked} --workers {options.workers}: one worker uses all GPUs; leave out --workers, "
            "or start one run per set of CUDA_VISIBLE_DEVICES, with the same --out"
        )
    if not compute.device.startswith("cuda"):
        raise UsageError(f"{asked}: torch sees no CUDA device here; leave it out")


def check_methods(options: RunOptions, methods: Iterable[Method]) -> None:
    """Refuse methods that need the weights of a base that has none to give.

    Raises:
        UsageError: Some adapter trains, cuts or decomposes weights that --quantize packs.
    """
    if options.quantize is Quantisation.NONE:
        return
    for candidate in (one for method in methods for one in method.candidates):
        refuse_packed(candidate.recipe.adapter, f"--quantize {options.quantize}")


def check_attention(compute: Compute) -> None:
    """Refuse FlashAttention where it cannot run.

    Raises:
        UsageError: The device is no GPU of CUDA, the dtype is float32, or no package has it.
    """
    if compute.attention is not Attention.FLASH:
        return
    asked = f"--attention {compute.attention}"
    if not compute.device.startswith("cuda"):
        raise UsageError(f"{asked} needs a CUDA device, not {compute.device}: use sdpa")
    if compute.dtype == DType.FLOAT32:
        raise UsageError(f"{asked} has no float32: use --dtype bfloat16, or sdpa")
    if not any(find_spec(package) for package in ("flash_attn", "kernels")):
        raise UsageError(
            f"{asked} needs the package flash-attn or kernels, and neither is installed: "
            "install one, or use sdpa"
        )
