"""The placement study: which layers to train."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.config.types import Names, WholeNumbers
from bench.studies.options import GridStudyOptions, One
from bench.studies.registry import study
from methods.recipe import parse_recipe
from tasks.errors import UsageError

if TYPE_CHECKING:
    from bench.progress.base import Progress
    from bench.studies.study_report import StudyReport


@study("placement")
class PlacementOptions(GridStudyOptions):
    """Sweep the layers that are trained, against what freeze picks."""

    method: One = "lora"
    """The recipe to place: an adapter, with strategies if you like."""
    cuts: WholeNumbers | None = None
    """Cuts k: layers 1..k are frozen, those above are trained; 0 trains all."""
    forgetting: Names = ("drift",)
    """What may be forgotten, as in run."""

    def named(self) -> tuple[str, ...]:
        """Return the recipe, alone and placed."""
        recipe = parse_recipe(self.method)
        if recipe.placement is not None:
            raise UsageError(
                f"--method '{self.method}' has a placement already: give the recipe without it, "
                "the study places it"
            )
        return (self.method, f"{self.method}+freeze")

    def run(self, progress: Progress) -> StudyReport:
        """Train every placement that is missing, and answer."""
        from bench.studies.placement.run import run_placement

        return run_placement(self, progress)
