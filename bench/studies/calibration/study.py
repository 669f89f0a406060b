"""The options of the calibration study: what CorDA should calibrate on, and in which samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import PositiveInt

from bench.config.types import Counts, Names, Several, WholeNumbers
from bench.studies.options import GridStudyOptions
from bench.studies.registry import study

if TYPE_CHECKING:
    from bench.progress.base import Progress
    from bench.studies.study_report import StudyReport

Modes = Several[Literal["kpm", "ipm"]]

REFERENCE = "lora"
"""The method that CorDA is compared with; it does not calibrate."""


@study("calibration")
class CalibrationOptions(GridStudyOptions):
    """Calibrate CorDA on different sources, in windows of packed texts and text by text."""

    modes: Modes = ("kpm", "ipm")
    """CorDA's modes: kpm preserves knowledge, ipm previews the task."""
    sources: Names = ("elements", "train")
    """What to calibrate on: train (the training facts) or knowledge tasks such as nq_open."""
    samples: Counts = (256,)
    """Numbers of calibration facts; a source with fewer facts uses all of them."""
    packs: WholeNumbers = (2048, 0)
    """Tokens per window of packed texts, as CorDA's reference has them; 0 makes each text a sample
    of its own."""
    forgetting: Names = ("elements", "drift")
    """Forgetting tasks, as in run."""
    limit: PositiveInt = 24
    """Most facts to train."""

    def named(self) -> tuple[str, ...]:
        """Return the reference, and CorDA with each source."""
        return (
            REFERENCE,
            *(calibrated("kpm", source, 1, self.packs[0]) for source in self.sources),
        )

    def run(self, progress: Progress) -> StudyReport:
        """Train the missing cells and return the report."""
        from bench.studies.calibration.run import run_calibration

        return run_calibration(self, progress)


def calibrated(mode: str, source: str, samples: int, pack: int) -> str:
    """Return the recipe of CorDA with its calibration.

    Args:
        mode: `kpm` or `ipm`.
        source: `train` or the name of a knowledge task.
        samples: The largest number of calibration facts.
        pack: Tokens per window; 0 for one text a sample.
    """
    return f"corda[mode={mode},calibration={source},samples={samples},pack={pack}]"
