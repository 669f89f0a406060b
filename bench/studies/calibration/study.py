"""The calibration study: what CorDA should calibrate on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import PositiveInt

from bench.config.types import Counts, Names, Several
from bench.studies.options import GridStudyOptions
from bench.studies.registry import study

if TYPE_CHECKING:
    from bench.progress.base import Progress
    from bench.studies.study_report import StudyReport

Modes = Several[Literal["kpm", "ipm"]]

REFERENCE = "lora"
"""What CorDA is compared with: it calibrates on nothing."""


@study("calibration")
class CalibrationOptions(GridStudyOptions):
    """Calibrate CorDA on different sources and sizes."""

    modes: Modes = ("kpm", "ipm")
    """CorDA's modes: kpm keeps knowledge, ipm previews the task."""
    sources: Names = ("elements", "train")
    """What to calibrate on: train (the training facts) or knowledge tasks, such as nq_open."""
    samples: Counts = (32, 256)
    """Calibration facts; where a source has fewer, as many as it has."""
    forgetting: Names = ("elements", "drift")
    """What may be forgotten, as in run."""
    limit: PositiveInt = 24
    """At most so many facts are trained."""

    def named(self) -> tuple[str, ...]:
        """Return CorDA on every source, and what it is compared with."""
        return (REFERENCE, *(calibrated("kpm", source, 1) for source in self.sources))

    def run(self, progress: Progress) -> StudyReport:
        """Train CorDA on every source and size that is missing, and answer."""
        from bench.studies.calibration.run import run_calibration

        return run_calibration(self, progress)


def calibrated(mode: str, source: str, samples: int) -> str:
    """Write the recipe of CorDA on a calibration source."""
    return f"corda[mode={mode},calibration={source},samples={samples}]"
