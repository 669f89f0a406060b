"""How much memory a cell takes, by formulas from the sizes of its model, before anything is loaded.

All amounts are in bytes. P is the number of weights, b the bytes of one in the base's dtype.

| what | bytes | see |
| --- | --- | --- |
| the base | b P; of 4 or 8 bits, its linear layers take less; twice after a first step | `base` |
| an adapter in training | 16 + b for each of its numbers, 4 more for its start | `adapter_state` |
| `full` in training | 16 + b for each trained weight, beside the base | `full_state` |
| activations | for each token and layer (4 b + 8) hidden + 4 b wide + 2 b kv | `activations` |
| logits | 12 rows kept vocabulary | `logits` |
| covariances | 4 for each entry of each set, and one input in float32 | `covariances` |
| for `--explain` | two sets of covariances, from the first cell on | `need` |
| mean gradients | a pass and one gradient; all of them in float32 on the CPU | `gradients` |
| factors of a start | four matrices of float64 | `decomposition` |
| asking | keys and values of all rows, the widest layer and the logits | `asking` |

The coefficients of activations were counted on the tensors that a pass saves; a test counts again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

from bench.config.types import DType
from bench.models.shape import ModelShape, model_shape
from bench.planning.planned_cell import PlannedCell
from methods.adapters.peft import Peft
from methods.calibrated import CalibratedLora
from methods.calibration import BATCH
from methods.covariance import covariance_bytes
from methods.gradient import TOKENS_AT_ONCE
from methods.gradient_starts import FromGradient
from methods.identity import names_read
from methods.lora_family import LoraFamily
from methods.parts import Adapter
from methods.peft_config import read_config
from methods.recipe import Recipe
from tasks.context import TrainPrompt
from tasks.errors import UsageError
from tasks.form import Form

PLAIN_TOKENS, LONG_TOKENS = 24, 200
"""About how many tokens a question and its answer have: alone, and after demonstrations."""

KEPT = 8
"""About how many positions of a row are predicted: those of its answer."""

CALIBRATED_TOKENS = 2048
"""Tokens of a window or a batch of calibration texts."""

ASKED_ROWS = 32
"""How many rows are asked at once at least; on a GPU more are, as far as memory allows."""

RANK = 16
"""The rank of an adapter that has no parameter `r`."""

OVERHEAD = 2.0**30
"""Memory of Python and its libraries on a CPU, of the context and of fragments on a GPU. With it
the formulas give 1.5, 1.8 and 2.1 GiB for the phases of `lora` on SmolLM2-135M in float32, of which
the committed example took 1.4, 1.9 and 1.9, and 2.3 GiB to prepare `corda`, which took 2.2."""

MOST_STACKED = 64
"""No more cells are trained together: even for a small model, a GPU has enough to do by then."""

SHARE = 0.85
"""The share of the free memory that cells trained together may plan with."""

WORTH_A_LOOK = 5e8
"""From so many weights on, memory decides what can run: then a configuration is looked into, which
imports what takes seconds."""

QUANTISED = {"4bit": 0.5625, "8bit": 1.0}
"""Bytes of a weight of a quantised layer, with the scale of each block."""

ITEM = {DType.FLOAT32: 4, DType.BFLOAT16: 2, DType.FLOAT16: 2}
"""Bytes of a number."""


@dataclass(frozen=True)
class Setup:
    """What decides how much memory a cell takes, besides its model.

    Attributes:
        adapter: Its adapter.
        trained: Share of the decoder layers that it trains.
        placed: Whether a placement keeps it to decoder layers.
        dtype: The base's dtype.
        rows: Facts per batch.
        tokens: Tokens per fact.
        members: How many such cells are trained together.
        explains: Whether it measures why it forgets.
        kept: Positions of a row that are predicted.
        quantised: How the base's linear layers are quantised; `none` if they are not.
        follows: Whether it follows a first step, whose weights stand beside the base's.
    """

    adapter: Adapter
    trained: float
    placed: bool
    dtype: DType
    rows: int
    tokens: int
    members: int = 1
    quantised: str = "none"
    follows: bool = False
    kept: int = KEPT
    explains: bool = False

    @property
    def item(self) -> int:
        """Bytes of a number in the base's dtype."""
        return ITEM[self.dtype]


class Need(NamedTuple):
    """The peak of each phase of a cell, in bytes, the base included."""

    prepare: float
    train: float
    evaluate: float

    @property
    def peak(self) -> float:
        """The largest."""
        return max(self)

    @property
    def phase(self) -> str:
        """The phase with the largest."""
        return max(self._fields, key=lambda name: getattr(self, name))


def setup_of(cell: PlannedCell, shape: ModelShape, members: int = 1) -> Setup:
    """Return what decides how much memory a planned cell takes."""
    tokens, kept = tokens_of(cell.data.task.form, cell.spec.train_prompt)
    return Setup(
        adapter=cell.recipe.adapter,
        trained=trained_share(cell.recipe, shape.layers),
        placed=cell.recipe.placement is not None,
        dtype=cell.spec.dtype,
        rows=cell.spec.batch_size,
        tokens=tokens,
        members=members,
        quantised=str(cell.spec.quantisation),
        follows=cell.spec.after is not None,
        kept=kept,
        explains=bool(cell.knowledge_digest),
    )


def tokens_of(form: Form, prompt: TrainPrompt) -> tuple[int, int]:
    """Return about how many tokens a row has in training, and how many of them are predicted.

    Args:
        form: How questions and answers are written.
        prompt: The contexts that training sees.
    """
    if longest := max(form.cut, form.window):
        return longest, longest
    return (PLAIN_TOKENS if prompt is TrainPrompt.PLAIN else LONG_TOKENS), KEPT


def need(shape: ModelShape, setup: Setup) -> Need:
    """Return what cells take in each phase, all members together."""
    resident = (2 if setup.follows else 1) * base(shape, setup) + OVERHEAD
    if setup.explains:  # of knowledge and of the task, kept for the cells that follow
        resident += 2 * covariances(shape)
    cuts = isinstance(setup.adapter, LoraFamily) and setup.adapter.reads_weights
    prepare = decomposition(shape) if cuts else 0.0
    prepare += covariance_sets(setup.adapter) * covariances(shape)
    if isinstance(setup.adapter, FromGradient):
        prepare += gradients(shape, setup)
    asked = asking(shape, setup.item, max(ASKED_ROWS, setup.members))
    if setup.adapter.trains_weights:  # the masters, and their copies in the base's dtype
        asked += (4 + setup.item) * trained_weights(shape, setup)
    train = setup.members * of_member(shape, setup)
    return Need(resident + prepare, resident + train, resident + asked)


def covariance_sets(adapter: Adapter) -> int:
    """Return how many sets of covariances an adapter holds at once: by its own word, or one.

    One that runs calibration batches itself is taken to measure its inputs.
    """
    if isinstance(adapter, CalibratedLora):
        return adapter.covariance_sets
    return int(not {"covariance", "calibration_batches"}.isdisjoint(names_read(type(adapter))))


def base(shape: ModelShape, setup: Setup) -> float:
    """Return the bytes of the base, all of it on the device."""
    linear = sum(d_out * d_in for d_out, d_in in shape.linear)
    each = QUANTISED.get(setup.quantised, setup.item)
    return setup.item * (shape.weights - linear) + each * linear


def of_member(shape: ModelShape, setup: Setup) -> float:
    """Return what training one cell takes beside the base."""
    state = full_state if setup.adapter.trains_weights else adapter_state
    passing = (
        activations(shape, setup) + logits(shape, setup.rows, setup.kept) + unscaled(shape, setup)
    )
    return state(shape, setup) + passing


def adapter_state(shape: ModelShape, setup: Setup) -> float:
    """Return the bytes of low-rank adapters in training.

    A and B are in float32 (4), with gradients (4), Adam's two moments (8), a copy in the base's
    dtype for products, and for a start that was cut from W its frozen factors (4).
    """
    numbers = sum(rank_of(setup.adapter, *sides) * sum(sides) for sides in shape.linear)
    cast_copy = setup.item if setup.item < 4 else 0
    # A stack adds up gradients in the base's dtype, and computes with factors of twice the rank.
    together = 2 * cast_copy + 8 * (cast_copy > 0) if setup.members > 1 else 0
    held = numbers * (4 + 4 + 8 + 4 + cast_copy + together)
    if setup.adapter.copies_weights:
        held += setup.item * sum(d_out * d_in for d_out, d_in in shape.linear)
    return (1.0 if getattr(setup.adapter, "spread", False) else setup.trained) * held


def rank_of(adapter: Adapter, d_out: int, d_in: int) -> int:
    """Return the rank that an adapter trains of a weight, by its own word or its `r`."""
    own = getattr(adapter, "trained_rank", None)
    return own(d_out, d_in) if own else min(int(getattr(adapter, "r", RANK)), d_out, d_in)


def full_state(shape: ModelShape, setup: Setup) -> float:
    """Return the bytes of trained weights beside the base, which stays: 16 + b for each.

    They are masters in float32 (4), gradients (4), Adam's two moments (8), and under autocast their
    copies in the base's dtype. With the base itself that makes 20 for each weight.
    """
    cast_copy = setup.item if setup.item < 4 else 0
    return trained_weights(shape, setup) * (4 + 4 + 8 + cast_copy)


def trained_weights(shape: ModelShape, setup: Setup) -> float:
    """Return how many weights of the base are trained if the adapter trains those."""
    return setup.trained * shape.in_layers if setup.placed else shape.weights


def unscaled(shape: ModelShape, setup: Setup) -> float:
    """Return the bytes of the float32 outputs that DoRA keeps, before it scales them."""
    if not scales_rows(setup.adapter):
        return 0.0
    outputs = sum(d_out for d_out, _ in shape.linear)
    return 4 * setup.trained * outputs * setup.rows * setup.tokens


def scales_rows(adapter: Adapter) -> bool:
    """Return whether an adapter is DoRA."""
    if isinstance(adapter, Peft):
        return bool(read_config(adapter.path).values.get("use_dora"))
    return bool(getattr(adapter, "options", {}).get("use_dora"))


def activations(shape: ModelShape, setup: Setup) -> float:
    """Return the bytes that a training pass saves for its backward pass, attention fused.

    For each token and layer: four states of the residual stream's width in the base's dtype and
    two that norms keep in float32, four of the MLP's width, keys and values. Training the weights
    themselves saves a float32 residual stream besides.
    """
    b = setup.item
    each = (4 * b + 8) * shape.hidden + 4 * b * shape.wide
    each += (8 * shape.hidden) if setup.adapter.trains_weights else 0
    saved = shape.layers * each + b * shape.cached
    return float(setup.rows * setup.tokens * saved)


def logits(shape: ModelShape, rows: int, kept: int = KEPT) -> float:
    """Return the bytes of logits at predicted positions, their softmax and gradient, in float32."""
    return 3.0 * 4 * rows * kept * shape.vocabulary


def covariances(shape: ModelShape) -> float:
    """Return the bytes of the covariances `[d, d]` of all inputs, in float32, while measured."""
    return float(covariance_bytes(shape.inputs, CALIBRATED_TOKENS)) if shape.inputs else 0.0


def gradients(shape: ModelShape, setup: Setup) -> float:
    """Return the bytes of measuring the mean gradients of all linear layers.

    Their sums lie on the CPU. They count where the base is in float32, as it is on a CPU.
    """
    sizes = [d_out * d_in for d_out, d_in in shape.linear]
    passing = activations(shape, replace(setup, rows=1, tokens=TOKENS_AT_ONCE))
    passing += logits(shape, BATCH, setup.kept) + (4 + setup.item) * max(sizes, default=0)
    return passing + (4 * sum(sizes) if setup.dtype is DType.FLOAT32 else 0)


def decomposition(shape: ModelShape) -> float:
    """Return the bytes of decomposing the largest matrix: four of its size in float64."""
    return 4.0 * 8 * max((d_out * d_in for d_out, d_in in shape.linear), default=0)


def asking(shape: ModelShape, item: int, rows: int) -> float:
    """Return the bytes of asking `rows` questions at once, without gradients.

    Keys and values of all tokens stay; of the layers only one runs at a time. A part of the tokens
    is shared by all rows, which is not counted here.

    Args:
        shape: The model.
        item: Bytes of a number in the base's dtype.
        rows: How many questions.
    """
    tokens = rows * LONG_TOKENS
    layer = 3 * item * shape.wide + (4 * item + 8) * shape.hidden
    return float(tokens * (item * shape.cached + layer)) + logits(shape, rows)


def estimate(cell: PlannedCell, weights: float) -> float:
    """Return about what a planned cell takes, in bytes.

    Args:
        cell: The cell.
        weights: How many weights its model has.
    """
    shape = model_shape(cell.source) if weights >= WORTH_A_LOOK else None
    if shape is not None:
        return need(shape, setup_of(cell, shape)).peak
    each = 20 if cell.recipe.adapter.trains_weights else 1.5 * ITEM[cell.spec.dtype]
    each += ITEM[cell.spec.dtype] if cell.spec.after else 0
    return weights * each + OVERHEAD


def stack_size(cells: Sequence[PlannedCell], beside_base: float) -> int:
    """Return how many cells can be trained together, at least 1.

    Args:
        cells: Cells of one base that may be trained together, the first ones to go first.
        beside_base: Bytes that are free for them, those of the base not counted.
    """
    shape = model_shape(cells[0].source) if cells else None
    if shape is None:
        return 1
    room, fit = SHARE * beside_base, 1
    members: list[float] = []
    for count, cell in enumerate(cells[:MOST_STACKED], start=1):
        # Ranks and rows are padded to those of the widest: each takes what the largest does.
        members.append(of_member(shape, setup_of(cell, shape, len(cells))))
        together = count * max(members)
        if max(together, asking(shape, ITEM[cell.spec.dtype], max(ASKED_ROWS, count))) > room:
            break
        fit = count
    return fit


def trained_share(recipe: Recipe, layers: int) -> float:
    """Return the share of the decoder layers that a recipe trains; 1 if only a run can tell."""
    if recipe.placement is None:
        return 1.0
    nothing_known = cast("Any", object())
    try:
        return len(recipe.placement.layers(nothing_known, layers, 0)) / layers
    except (AttributeError, UsageError):  # it looks at what the base knows, or does not fit it
        return 1.0
