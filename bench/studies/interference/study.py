"""The interference study: what facts lose when they are trained together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import PositiveInt

from bench.config.options import RunOptions
from bench.config.types import Counts
from bench.studies.options import One, StudyOptions
from bench.studies.registry import study
from methods.recipe import parse_recipe

if TYPE_CHECKING:
    from bench.progress.base import Progress
    from bench.studies.study_report import StudyReport


@study("interference")
class InterferenceOptions(StudyOptions):
    """Train facts alone and together: what they lose."""

    method: One = "lora"
    """The recipe that trains."""
    sizes: Counts = (1, 2, 5, 10, 50)
    """How many facts are trained together."""
    measured: PositiveInt = 20
    """At most so many facts are measured, the same for every size."""
    exposures: PositiveInt = 20
    """Times each fact is trained alone; also the updates of "equal updates"."""
    batch_size: PositiveInt = 8
    """Facts in an optimizer step."""

    def run(self, progress: Progress) -> StudyReport:
        """Run the trainings that are missing, and compare."""
        from bench.studies.interference.run import run_interference

        return run_interference(self, progress)

    def named(self) -> tuple[str, ...]:
        """Return the recipe."""
        return (parse_recipe(self.method).name,)

    def training_grid(self) -> RunOptions:
        """Return a grid of one cell per seed with every fact that may be needed."""
        wanted = {
            "forgetting": (),
            "epochs": self.exposures,
            "limit": self.measured + max(self.sizes),
        }
        return self.grid((self.method,)).model_copy(update=wanted)
