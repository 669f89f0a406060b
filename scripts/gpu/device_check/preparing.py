"""Stages `prepare` and `whole`: decompositions of single matrices, and of a whole 8B model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch

from device_check.machine import TableRow, attached, planned
from device_check.timing import timed
from methods.decomposition import corda_factors, damped_covariance, principal_factors
from methods.subspaces import End

if TYPE_CHECKING:
    from device_check.machine import Check

MATRICES = ((4096, 4096), (11008, 4096), (4096, 11008))
SMALL_MATRICES = ((128, 128), (256, 128))
TOKENS = 3000
"""Calibration tokens, fewer than a matrix has columns."""


def prepare(check: Check) -> None:
    """Decompose the matrices of a 7B layer, and a square one by the library as well."""
    rows = list[TableRow]()
    for d_out, d_in in MATRICES if check.on_gpu else SMALL_MATRICES:
        W, X = (torch.randn(n, d_in, device=check.device) for n in (d_out, TOKENS))
        C = damped_covariance(X.T @ X / 256)
        runs: dict[str, Callable[[], object]] = {
            "pissa": partial(principal_factors, W, 16, 1.0),
            "damping": partial(damped_covariance, C),
        }
        runs |= {f"corda {end}": partial(corda_factors, W, C, 16, 1.0, end) for end in End}
        if d_out == d_in:
            runs |= {
                "svd float32": partial(torch.linalg.svd, W),
                "eigh float32": partial(torch.linalg.eigh, C.float()),
                "eigh float64": partial(torch.linalg.eigh, C),
            }
        seconds = {f"{name}, s": timed(check, run, 1) for name, run in runs.items()}
        rows.append({"matrix": f"{d_out} x {d_in}"} | seconds)
    check.tell("Preparing matrices of 7B", rows)


def whole(check: Check) -> None:
    """Attach PiSSA and CorDA to a whole model: PiSSA should take seconds, CorDA about a minute."""
    base, rows = check.unsaved_base(check.large), list[TableRow]()
    for method in ("pissa", "corda[mode=ipm]"):
        _, [cell] = planned(check, base.name, [method])
        check.reset_peak()
        before, started = check.allocated(), check.settled()
        attached(base, cell)
        row = {"method": method, "s": check.settled() - started}
        rows.append(row | {"peak GiB": check.peak(), "above the base GiB": check.peak() - before})
    check.tell(f"Preparing a whole model, {check.large}", rows)
