"""The options of the study of order: one fact after another, or epochs over all of them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import PositiveInt

from bench.config.options import RunOptions
from bench.config.types import Counts, Names, Schedule
from bench.studies.options import StudyOptions
from bench.studies.registry import study
from methods.recipe import parse_recipes
from tasks.forgetting.names import ForgettingKind, ForgettingName

if TYPE_CHECKING:
    from bench.progress.base import Progress
    from bench.studies.study_report import StudyReport


class Optimizer(StrEnum):
    """Whether each fact that is trained alone begins with a new AdamW."""

    FRESH = "fresh"
    KEPT = "kept"


@study("order")
class OrderOptions(StudyOptions):
    """Compare facts trained one after another until learned with epochs over all of them."""

    methods: Names = ("lora",)
    """Recipes to train with: adapters, with or without a placement."""
    sizes: Counts = (1, 2, 8, 64, 512)
    """Numbers of facts (K) that one adapter learns."""
    measured: PositiveInt = 16
    """Least number of facts per size: small trainings are repeated with other facts."""
    most: PositiveInt = 25
    """Most exposures of a fact until it is learned."""
    exposures: PositiveInt = 5
    """Exposures of every fact where these are equal."""
    batch_size: PositiveInt = 8
    """Facts per optimizer step of epochs in batches; the other orders take one."""
    optimizer: Optimizer = Optimizer.FRESH
    """One fact after another: a fresh AdamW for each fact, as editors have it, or kept from fact to
    fact."""

    def run(self, progress: Progress) -> StudyReport:
        """Run the missing trainings and return the report."""
        from bench.studies.order.run import run_order

        return run_order(self, progress)

    def named(self) -> tuple[str, ...]:
        """Return the recipes."""
        from bench.studies.recipes import refuse_strategies

        recipes = parse_recipes(self.methods)
        for recipe in recipes:
            refuse_strategies(recipe, self.name)
        return tuple(recipe.name for recipe in recipes)

    def training_grid(self) -> RunOptions:
        """Return run options with a cell per recipe and seed, and every fact that may be needed."""
        wanted = {
            "forgetting": (ForgettingName(ForgettingKind.DRIFT, "drift"),),
            "limit": max(self.measured, *self.sizes),
            # No training knows its length beforehand.
            "schedule": Schedule.CONSTANT,
            "warmup": 0.0,
        }
        return self.grid(self.methods).model_copy(update=wanted)
