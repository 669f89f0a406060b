"""The options of the study of sequences: what facts lose to the updates that follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveInt

from bench.config.options import RunOptions
from bench.config.types import Names
from bench.studies.options import StudyOptions
from bench.studies.registry import study
from methods.recipe import parse_recipes
from tasks.forgetting.names import ForgettingKind, ForgettingName

if TYPE_CHECKING:
    from bench.progress.base import Progress
    from bench.studies.study_report import StudyReport


@study("sequence")
class SequenceOptions(StudyOptions):
    """Train the parts of a task one after another, and ask every part after each."""

    methods: Names = ("lora",)
    """Recipes to train with: adapters, with or without a placement."""
    parts: Annotated[int, Field(ge=2)] = 8
    """Into how many parts (batches of edits) the facts are divided."""
    limit: PositiveInt = 64
    """Most facts to train."""
    epochs: PositiveInt = 10
    """How often each fact is trained while its part is."""
    batch_size: PositiveInt = 8
    """Facts per optimizer step."""

    def run(self, progress: Progress) -> StudyReport:
        """Run the missing sequences and return the report."""
        from bench.studies.sequence.run import run_sequence

        return run_sequence(self, progress)

    def named(self) -> tuple[str, ...]:
        """Return the recipes."""
        from bench.studies.recipes import refuse_strategies

        recipes = parse_recipes(self.methods)
        for recipe in recipes:
            refuse_strategies(recipe, self.name)
        return tuple(recipe.name for recipe in recipes)

    def training_grid(self) -> RunOptions:
        """Return run options with a cell per recipe and seed, of all facts."""
        drift = ForgettingName(ForgettingKind.DRIFT, "drift")
        return self.grid(self.methods).model_copy(update={"forgetting": (drift,)})
