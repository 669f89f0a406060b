"""CorDA: context-oriented decomposition adaptation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods.decomposition import (
    Factors,
    corda_factors,
    damped_covariance,
    reference_corda_factors,
)
from methods.lora_family import FactoredLora, Start
from methods.notes import Notes
from methods.parts import Setting, adapter
from methods.subspaces import End
from tasks.errors import UsageError
from tasks.resolve import resolve_task

if TYPE_CHECKING:
    from torch import Tensor

    from methods.covariance import Covariances


@adapter("corda")
@dataclass(frozen=True)
class Corda(FactoredLora):
    """LoRA that starts from an SVD of each weight times its input covariance.

    With C `[d_in, d_in]` the covariance of a layer's inputs over calibration facts and
    SVD(W C) = U S V^T, it starts at B = U_r sqrt(S_r / s) `[d_out, r]` and
    A = sqrt(S_r / s) (V^T C^-1)_r `[r, d_in]`; the base keeps W - s B A. **exact**,
    arXiv 2406.05223.

    Attributes:
        mode: `kpm` preserves knowledge: it trains the r smallest directions and calibrates on what
            must be kept (`calibration=auto`: the run's forgetting tasks). `ipm` previews the task:
            it trains the r largest and calibrates on what is learned (`auto`: the training facts).
        calibration: `auto`, `train` (the training facts) or the name of a knowledge task.
        samples: The largest number of calibration facts.
        precision: `float64`, or `reference` for PEFT's own arithmetic in float32.
    """

    mode: Literal["kpm", "ipm"] = "kpm"
    calibration: str = "auto"
    samples: int = 256
    precision: Literal["float64", "reference"] = "float64"

    paper = "2406.05223"
    learning_rate = 2e-4
    needs_one_device = True

    def check(self) -> None:
        """Refuse values that no model can take, and an unknown calibration task."""
        super().check()
        if self.samples < 1:
            raise UsageError(f"samples={self.samples}: at least one calibration fact is needed")
        if self.calibration not in ("auto", "train"):
            resolve_task(self.calibration, trained=False, forgotten=False)

    def calibration_tasks(self, forgetting: Sequence[str]) -> tuple[str, ...]:
        """Return the tasks to calibrate on; calibrating on the training facts needs none."""
        if self.calibration == "auto" and self.mode == "kpm":
            return tuple(forgetting) or ("elements",)
        return () if self.calibration in ("auto", "train") else (self.calibration,)

    def prepare(self, setting: Setting) -> Start:
        """Measure C on the calibration facts and decompose W C of every target."""
        facts = setting.calibration if self.calibration_tasks(()) else setting.facts
        if not facts:
            raise UsageError(f"corda[mode={self.mode}] has no facts to calibrate on")
        covariances = setting.signals.covariance(facts, self.samples)
        end = End.SMALLEST if self.mode == "kpm" else End.LARGEST
        decompose = reference_corda_factors if self.precision == "reference" else corda_factors

        def damped(shared: str) -> Tensor:
            return damped_covariance(covariances.matrices[shared])

        def factors(C: Tensor, W: Tensor) -> Factors:
            return decompose(W, C.to(W.device), self.r, self.scale, end)

        start = self.decompose(setting, factors, covariances.input_of, damped)
        return Start(start.factors, (*start.notes, calibration_notes(covariances)))


@dataclass(frozen=True)
class CalibrationNotes(Notes):
    """How much data the covariances were measured on.

    Attributes:
        calibration_samples: Number of calibration texts.
        calibration_tokens: Number of tokens seen by the layer input that saw the fewest.
        calibration_inputs: Number of distinct layer inputs; q, k and v share one, for example.
        calibration_low_rank: How many of these inputs saw fewer tokens than they have dimensions.
    """

    calibration_samples: int
    calibration_tokens: int
    calibration_inputs: int
    calibration_low_rank: int


def calibration_notes(covariances: Covariances) -> CalibrationNotes:
    """Return how many tokens the covariances were measured on; warns where they are too few."""
    tokens, inputs = min(covariances.tokens.values()), len(covariances.matrices)
    low = covariances.low_rank()
    warnings: tuple[str, ...] = ()
    if low:
        widest = max(len(covariances.matrices[name]) for name in low)
        warnings = (
            f"corda: {tokens} calibration tokens are too few for {len(low)} of {inputs} layer "
            f"inputs, which have up to {widest} dimensions; their covariances are low-rank",
        )
    return CalibrationNotes(covariances.samples, tokens, inputs, len(low), warnings=warnings)
