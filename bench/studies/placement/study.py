"""The options of the placement study: which layers to train."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from bench.config.types import Names, WholeNumbers
from bench.studies.options import GridStudyOptions, One
from bench.studies.registry import study
from methods.recipe import parse_recipe, part_name
from tasks.errors import UsageError

if TYPE_CHECKING:
    from bench.progress.base import Progress
    from bench.studies.study_report import StudyReport


class Equal(StrEnum):
    """What all placements have alike; a closed set."""

    RANK = "rank"
    PARAMETERS = "parameters"


@study("placement")
class PlacementOptions(GridStudyOptions):
    """Sweep which layers are trained, and compare with the choice of freeze."""

    method: One = "lora"
    """The recipe to place: an adapter, with or without strategies."""
    cuts: WholeNumbers | None = None
    """Cuts k: layers 1..k are frozen and the layers above are trained; 0 trains all."""
    equal: Equal = Equal.RANK
    """What all placements have alike: the rank, or the number of trained parameters, by a rank of
    their own; the latter adds depth, occlusion and the kinds of modules to the sweep."""
    forgetting: Names = ("drift",)
    """Forgetting tasks, as in run."""

    def named(self) -> tuple[str, ...]:
        """Return the recipe, with and without a placement."""
        recipe = parse_recipe(self.method)
        if recipe.placement is not None:
            raise UsageError(
                f"--method '{self.method}' already has a placement: give the recipe without one; "
                "the study adds it"
            )
        if self.equal is Equal.PARAMETERS and not hasattr(recipe.adapter, "spread"):
            raise UsageError(
                f"--equal parameters: {part_name(recipe.adapter)} has no rank that could differ by "
                "placement; give an adapter of the LoRA family, or --equal rank"
            )
        return (self.method, f"{self.method}+freeze")

    def run(self, progress: Progress) -> StudyReport:
        """Train the missing placements and return the report."""
        from bench.studies.placement.run import run_placement

        return run_placement(self, progress)
