"""CorDA: context-oriented decomposition adaptation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods.calibration import window_length
from methods.decomposition import (
    Factors,
    corda_factors,
    damped_covariance,
    reference_corda_factors,
)
from methods.lora_family import FactoredLora, Start
from methods.notes import Notes, Told, note
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
    SVD(W C) = U S V^T, it starts at B_0 = U_r sqrt(S_r / s) `[d_out, r]` and
    A_0 = sqrt(S_r / s) (V^T C^-1)_r `[r, d_in]`, and trains W' = W + s (B A - B_0 A_0). C is the
    mean of X^T X over samples, each divided by |max(X)|. A sample is a window of packed texts, as
    in the reference code: B A does not depend on the scale of C, but |A| / |B| does, and with it
    which of the two trains. **exact**, arXiv 2406.05223; `pack=0` is a variant.

    Attributes:
        mode: `kpm` preserves knowledge: it trains the r smallest directions and calibrates on what
            must be kept (`calibration=auto`: the run's forgetting tasks). `ipm` previews the task:
            it trains the r largest and calibrates on what is learned (`auto`: the training facts).
        calibration: `auto`, `train` (the training facts) or the name of a knowledge task.
        samples: The largest number of calibration facts; without it as many as have 16,384 tokens,
            or all.
        pack: Tokens per window, at most the model's context; the last window may be shorter. With 0
            each text is a sample: about a hundred times fewer tokens a sample, so that |A| / |B| is
            larger by as much. No learning rate carries over between the two.
        precision: `float64`, or `reference` for PEFT's own arithmetic in float32.
    """

    mode: Literal["kpm", "ipm"] = "kpm"
    calibration: str = "auto"
    samples: int | None = None
    pack: int = 2048
    precision: Literal["float64", "reference"] = "float64"

    paper = "2406.05223"
    variants = "pack=0 is a variant: one text a sample, not the reference's windows"
    learning_rate = 2e-4
    needs_one_device = True

    def check(self) -> None:
        """Refuse values that no model can take, and an unknown calibration task."""
        super().check()
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"samples={self.samples}: at least one calibration fact is needed")
        if self.pack < 0:
            raise UsageError(
                f"pack={self.pack}: give the tokens of a window, such as 2048, or 0 for one text a "
                "sample"
            )
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
        covariances = setting.signals.covariance(facts, self.samples, self.pack)
        end = End.SMALLEST if self.mode == "kpm" else End.LARGEST
        decompose = reference_corda_factors if self.precision == "reference" else corda_factors

        def damped(shared: str) -> Tensor:
            return damped_covariance(covariances.matrices[shared])

        def factors(C: Tensor, W: Tensor) -> Factors:
            return decompose(W, C.to(W.device), self.r, self.scale, end)

        window = window_length(setting.model, self.pack)
        start = self.decompose(setting, factors, covariances.input_of, damped)
        return Start(start.factors, (*start.notes, calibration_notes(covariances, window)))


@dataclass(frozen=True)
class CalibrationNotes(Notes):
    """How much data the covariances were measured on, and in which samples.

    Attributes:
        calibration_samples: Number of samples: windows, or texts where there are no windows.
        calibration_tokens: Number of tokens seen by the layer input that saw the fewest.
        calibration_window: Tokens per window; 0 where each text is a sample.
        calibration_inputs: Number of distinct layer inputs; q, k and v share one, for example.
        calibration_low_rank: How many of these inputs saw fewer tokens than they have dimensions.
    """

    calibration_samples: int | None = note()
    calibration_tokens: int | None = note()
    calibration_window: int | None = note()
    calibration_inputs: int = 0
    calibration_low_rank: int = 0

    def told(self, facts: int, kept: int | None) -> Iterator[Told]:
        """Yield the samples in words; a row of the variant is marked on the leaderboard."""
        if self.calibration_samples is None or self.calibration_window is None:
            return
        counted = f"{self.calibration_tokens:,} tokens in {self.calibration_samples:,}"
        if self.calibration_window:
            windows = "window" if self.calibration_samples == 1 else "windows"
            yield Told("calibration", f"{counted} {windows} of up to {self.calibration_window:,}")
        else:
            texts = "text" if self.calibration_samples == 1 else "texts"
            mark = "variant: calibrated one text a sample"
            yield Told("calibration", f"{counted} {texts}, each a sample: a variant", mark)


def calibration_notes(covariances: Covariances, window: int) -> CalibrationNotes:
    """Return how many tokens the covariances were measured on; warns where they are too few.

    Args:
        covariances: What was measured.
        window: Tokens per window; 0 where each text is a sample.
    """
    tokens, inputs = min(covariances.tokens.values()), len(covariances.matrices)
    low = covariances.low_rank()
    warnings: tuple[str, ...] = ()
    if low:
        widest = max(len(covariances.matrices[name]) for name in low)
        warnings = (
            f"corda: {tokens} calibration tokens are too few for {len(low)} of {inputs} layer "
            f"inputs, which have up to {widest} dimensions; their covariances are low-rank",
        )
    return CalibrationNotes(
        covariances.samples, tokens, window, inputs, len(low), warnings=warnings
    )
