"""What a grid takes, from assumed sizes: for a plan where neither hub nor data are at hand.

Names, options and recipes are real; models, tokenizers and rows are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from bench.config.assumed import SECTION, Assumed
from bench.config.options import RunOptions
from bench.config.types import DType, shard_numbers
from bench.models.registry import resolve_model
from bench.models.shape import ModelShape, shape_of_config
from bench.planning.candidates import methods_of, tuning_seeds_of
from bench.planning.cost_estimate import FLOP_OF_TOKEN, GPU_FLOPS, TRAIN_SHARE
from bench.planning.memory import Need, Setup, need, tokens_of, trained_share
from methods.parts import Adapter
from methods.recipe import Recipe
from tasks.base import KnowledgeTask
from tasks.errors import UsageError
from tasks.resolve import resolve_task

SHORT = 256
"""Most tokens of a row that is a question and its answer, and no long text."""

CARD = 79 * 2.0**30
"""Bytes that a card of 80 GB has for programs."""


@dataclass(frozen=True)
class SketchedRow:
    """One method on one model and task.

    Attributes:
        method, model, task: Their names.
        need: What it takes, in bytes.
        divides: Whether its model may be divided over several.
    """

    method: str
    model: str
    task: str
    need: Need
    divides: bool

    @property
    def fits(self) -> bool:
        """Whether one card of 80 GB is enough."""
        return self.need.peak <= CARD

    @property
    def cards(self) -> int:
        """How many such cards together have the memory."""
        return math.ceil(self.need.peak / CARD)


@dataclass(frozen=True)
class SketchedTask:
    """One task, as far as it is known without its rows.

    Attributes:
        name: Its name.
        rows: How many are trained.
        epochs: How often.
        steps: Optimizer steps in all.
        tokens: About how many tokens a row has.
    """

    name: str
    rows: int
    epochs: int
    steps: int
    tokens: int


@dataclass(frozen=True)
class Sketch:
    """A grid from assumed sizes.

    Attributes:
        rows: One for each method, model and task.
        tasks: The tasks that are trained.
        cells: How many cells there are to run: of a shard about so many, since ids decide which
            they are, and ids need the data.
        whole: How many cells the grid has.
        flop: About how many operations it takes to train the cells to run: counted as if each,
            a candidate too, trained all rows.
        unchecked: What was not looked at, in words.
    """

    rows: tuple[SketchedRow, ...]
    tasks: tuple[SketchedTask, ...]
    cells: int
    whole: int
    flop: float
    unchecked: str

    @property
    def seconds(self) -> float | None:
        """About how long the cells to run take on one GPU, with what is measured of them.

        None where rows are long: what a GPU does in a second is known for short ones alone.
        """
        short = all(task.tokens <= SHORT for task in self.tasks)
        return self.flop / GPU_FLOPS / TRAIN_SHARE if short else None


def check_assumed(assumed: Assumed, path: Path) -> None:
    """Check that what sizes are assumed of are tasks and models, wherever their data are.

    Args:
        assumed: The sizes.
        path: The grid file, for errors.

    Raises:
        UsageError: A name is unknown.
    """
    for name in assumed.rows:
        try:
            _task_of(name)
        except UsageError as error:
            raise UsageError(f"{path}: {SECTION}.rows.{name}: {error}") from error
    for name in assumed.models:
        try:
            resolve_model(name)
        except UsageError as error:
            raise UsageError(f"{path}: {SECTION}.models.{name}: {error}") from error


def lacking(options: RunOptions, assumed: Assumed) -> str:
    """Return the first model or task whose size is not assumed; empty if all are."""
    missing = [name for name in options.models if name not in assumed.models]
    missing += [name for name in options.trained_tasks if _task_of(name).name not in assumed.rows]
    return next(iter(missing), "")


def _task_of(name: str) -> KnowledgeTask:
    return resolve_task(name, trained=True, forgotten=False)


def sketch(options: RunOptions, assumed: Assumed) -> Sketch:
    """Return what a grid takes by assumed sizes, all of which have to be there (`lacking`).

    Raises:
        UsageError: A configuration is not one of transformers, or a recipe does not fit it.
    """
    tasks = list(map(_task_of, options.tasks))
    recipes = [one.candidates[0].recipe for one in methods_of(options)]
    shapes = {name: _shape(name, assumed) for name in options.models}
    rows = [
        SketchedRow(
            method=recipe.name,
            model=model,
            task=task.name,
            need=need(shape, _setup(options, recipe, task, shape)),
            divides=not recipe.adapter.needs_one_device,
        )
        for model, shape in shapes.items()
        for task in tasks
        for recipe in recipes
    ]
    models = ", ".join(options.models)
    sketched = tuple(_task(options, task, assumed.rows[task.name]) for task in tasks)
    cells = _cells(options, options.shard)
    of_a_cell = fmean(
        FLOP_OF_TOKEN * shape.weights * task.tokens * task.rows * task.epochs
        for shape in shapes.values()
        for task in sketched
    )
    return Sketch(
        rows=tuple(rows),
        tasks=sketched,
        cells=cells,
        whole=_cells(options, None),
        flop=cells * of_a_cell,
        unchecked=f"weights and tokenizer of {models}; rows of {_all_data(options, recipes)}",
    )


def _cells(options: RunOptions, shard: str | None) -> int:
    """Return how many cells a grid has, those that tune and first steps included.

    Of a shard it is as many as if shards were of the same size, as they nearly are. Only what
    stays together goes into one of them: the candidates of a method where any are tuned, or else a
    cell. First steps are run with whatever starts from them.
    """
    tuning, groups = tuning_seeds_of(options), list[int]()
    for one in methods_of(options):
        tried = len(one.candidates) * len(tuning) if len(one.candidates) > 1 else 0
        together = [len(options.seeds) + tried]
        groups += (together if tuning else [1] * len(options.seeds)) * len(options.tasks)
    groups *= len(options.models)
    part, parts = shard_numbers(shard) if shard else (1, 1)
    own = sum(groups[len(groups) * (part - 1) // parts : len(groups) * part // parts])
    firsts = len(options.models) * len({*options.seeds, *tuning}) if options.after else 0
    return own + min(firsts, own)


def _shape(name: str, assumed: Assumed) -> ModelShape:
    from transformers import AutoConfig

    values = dict(assumed.models[name])
    try:
        return shape_of_config(AutoConfig.for_model(values.pop("model_type"), **values))
    except Exception as error:  # transformers checks values in many ways, with as many errors
        told = str(error).splitlines()[0][:200]
        raise UsageError(f"assumed.models.{name}: no configuration of a model: {told}") from error


def _setup(options: RunOptions, recipe: Recipe, task: KnowledgeTask, shape: ModelShape) -> Setup:
    adapter: Adapter = recipe.adapter
    tokens, kept = tokens_of(task.form, options.train_prompt)
    return Setup(
        adapter=adapter,
        trained=trained_share(recipe, shape.layers),
        placed=recipe.placement is not None,
        dtype=DType.BFLOAT16 if options.dtype is DType.AUTO else options.dtype,
        rows=options.batch_size,
        tokens=tokens,
        kept=kept,
        quantised=str(options.quantize),
    )


def _task(options: RunOptions, task: KnowledgeTask, rows: int) -> SketchedTask:
    trained = min(rows, options.limit or task.limit)
    epochs = options.epochs or task.epochs
    steps = math.ceil(math.ceil(trained / options.batch_size) / options.accumulation)
    tokens, _ = tokens_of(task.form, options.train_prompt)
    return SketchedTask(task.name, trained, epochs, epochs * steps, tokens)


def _all_data(options: RunOptions, recipes: Sequence[Recipe]) -> str:
    """Name everything that has rows: what is trained, calibrated on and measured."""
    asking = [part for one in recipes for part in (one.adapter, one.replay) if part is not None]
    calibrated = (name for part in asking for name in part.calibration_tasks(()))
    measured = map(str, (*options.forgetting, *options.evaluate))
    return ", ".join(dict.fromkeys((*options.tasks, *calibrated, *measured)))
