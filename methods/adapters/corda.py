"""CorDA: context-oriented decomposition."""

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
    """SVD(W C) = U S V^T with C `[d_in, d_in]` the covariance of the inputs. **exact**, 2406.05223.

    B = U_r sqrt(S_r / s) `[d_out, r]`, A = sqrt(S_r / s) (V^T C^-1)_r `[r, d_in]`, base W - s B A.

    Attributes:
        mode: kpm keeps knowledge: the smallest r, calibrated on what is to be kept (auto: the
            run's forgetting tasks). ipm previews the task: the largest r, calibrated on what is to
            be learned (auto: the training facts).
        calibration: auto, train (the training facts) or a knowledge task.
        samples: At most so many calibration facts.
        precision: float64, or reference for PEFT's own arithmetic in float32.
    """

    mode: Literal["kpm", "ipm"] = "kpm"
    calibration: str = "auto"
    samples: int = 256
    precision: Literal["float64", "reference"] = "float64"

    paper = "2406.05223"
    learning_rate = 2e-4
    needs_one_device = True

    def check(self) -> None:
        """Refuse what no model can take, and an unknown calibration task."""
        super().check()
        if self.samples < 1:
            raise UsageError(f"samples={self.samples}: at least one calibration fact is needed")
        if self.calibration not in ("auto", "train"):
            resolve_task(self.calibration, trained=False, forgotten=False)

    def calibration_tasks(self, forgetting: Sequence[str]) -> tuple[str, ...]:
        """Return what to calibrate on; training facts need no task."""
        if self.calibration == "auto" and self.mode == "kpm":
            return tuple(forgetting) or ("elements",)
        return () if self.calibration in ("auto", "train") else (self.calibration,)

    def prepare(self, setting: Setting) -> Start:
        """Decompose W C of every target, C measured on the calibration facts."""
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
    """What covariances rest on.

    Attributes:
        calibration_samples, calibration_tokens: Texts, and the tokens of the input with fewest.
        calibration_inputs: Distinct inputs of layers.
        calibration_low_rank: How many of them have fewer tokens than dimensions.
    """

    calibration_samples: int
    calibration_tokens: int
    calibration_inputs: int
    calibration_low_rank: int


def calibration_notes(covariances: Covariances) -> CalibrationNotes:
    """Say how many tokens the covariances rest on, and warn where they are too few."""
    tokens, inputs = min(covariances.tokens.values()), len(covariances.matrices)
    low = covariances.low_rank()
    warnings: tuple[str, ...] = ()
    if low:
        widest = max(len(covariances.matrices[name]) for name in low)
        warnings = (
            f"corda: {tokens} calibration tokens are fewer than the {widest} dimensions of "
            f"{len(low)} of {inputs} layer inputs; their covariance is low-rank",
        )
    return CalibrationNotes(covariances.samples, tokens, inputs, len(low), warnings=warnings)
