"""The options of the interference study: what facts lose when they are trained together."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveInt

from bench.config.options import RunOptions
from bench.config.types import Counts, Schedule
from bench.studies.options import One, StudyOptions
from bench.studies.registry import study
from methods.recipe import parse_recipe

if TYPE_CHECKING:
    from bench.progress.base import Progress
    from bench.studies.study_report import StudyReport


class Regimes(StrEnum):
    """What stays equal between facts trained together and alone; see `plan.Regime`."""

    BOTH = "both"
    EXPOSURES = "exposures"


@study("interference")
class InterferenceOptions(StudyOptions):
    """Compare facts trained alone with the same facts trained together."""

    method: One = "lora"
    """The recipe to train with."""
    sizes: Counts = (1, 2, 5, 10, 50)
    """Numbers of facts to train together."""
    measured: PositiveInt = 20
    """Most facts to measure; the same facts for every size."""
    exposures: PositiveInt = 20
    """How often each fact is trained alone, and the number of updates in "equal updates"."""
    regimes: Regimes = Regimes.BOTH
    """both, or exposures: without the trainings at "equal updates"."""
    batch_size: PositiveInt = 8
    """Facts per optimizer step."""
    schedule: Schedule = Schedule.COSINE
    """cosine, or constant: a cosine over few steps ends higher than over many."""
    warmup: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1
    """Share of the steps in which the learning rate rises; at least one step."""

    def run(self, progress: Progress) -> StudyReport:
        """Run the missing trainings and return the report."""
        from bench.studies.interference.run import run_interference

        return run_interference(self, progress)

    def named(self) -> tuple[str, ...]:
        """Return the recipe."""
        return (parse_recipe(self.method).name,)

    def training_grid(self) -> RunOptions:
        """Return run options with one cell per seed and every fact that may be needed."""
        wanted = {
            "forgetting": (),
            "epochs": self.exposures,
            "limit": self.measured + max(self.sizes),
        }
        return self.grid((self.method,)).model_copy(update=wanted)
