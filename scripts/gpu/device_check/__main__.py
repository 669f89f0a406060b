"""`python -m device_check OUT TOKENIZER [STAGE...]`: run stages for which time is left."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from device_check.agreement import same
from device_check.asking import answers
from device_check.ceilings import machine
from device_check.grids import grid, stacked
from device_check.machine import Check
from device_check.preparing import prepare, whole
from device_check.training import large, steps


@dataclass(frozen=True)
class Stage:
    """A stage, and the seconds that it needs at most on a GPU."""

    seconds: int
    run: Callable[[Check], None]


STAGES = {
    "machine": Stage(5, machine),
    "same": Stage(100, same),
    "steps": Stage(90, steps),
    "answers": Stage(30, answers),
    "prepare": Stage(40, prepare),
    "stacked": Stage(200, stacked),
    "large": Stage(90, large),
    "whole": Stage(110, whole),
    "grid": Stage(120, grid),
}


def run_stages(check: Check, names: Sequence[str], seconds: float) -> list[str]:
    """Run stages; one that fails is told, and the others run.

    Args:
        check: The check.
        names: Of the stages.
        seconds: How much time is left; a stage that needs more is left out.

    Returns:
        The stages that failed.
    """
    check.out.mkdir(parents=True, exist_ok=True)
    ends, failed = time.monotonic() + seconds, list[str]()
    for name in names:
        began, stage = time.monotonic(), STAGES[name]
        if ends - began < stage.seconds:
            print(f"{name}: too little time is left", flush=True)
            continue
        try:
            stage.run(check)
        except Exception as error:
            failed.append(name)
            check.fail(name, f"{type(error).__name__}: {error}", traceback.format_exc())
        if check.on_gpu:
            torch.cuda.empty_cache()
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    return failed


def main(out: str, tokenizer: str, *names: str) -> int:
    """Run the named stages, or all; DEVICE, SHAPE, MODELS and SECONDS_LEFT say how."""
    if unknown := [name for name in names if name not in STAGES]:
        print(f"there is no stage '{unknown[0]}': give some of {', '.join(STAGES)}")
        return 2
    check = Check(
        out=Path(out).absolute(),
        tokenizer=Path(tokenizer).absolute(),
        models=Path(os.environ.get("MODELS", "/tmp/gpu-models")),
        device=os.environ.get("DEVICE", "cuda:0"),
        shape=os.environ.get("SHAPE", "1b"),
    )
    left = float(os.environ.get("SECONDS_LEFT", "440"))
    return 1 if run_stages(check, names or tuple(STAGES), left) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
