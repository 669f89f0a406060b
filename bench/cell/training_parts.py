"""What a recipe's order, replay and penalty mean for a training, checked as parts are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from bench.cell.decisions import Decisions, refuse_unless
from bench.inference.contexts import Contexts
from bench.inference.encoding import Example
from bench.training.rows import Replayed
from methods.notes import Notes
from methods.recipe import Recipe, part_name
from methods.signals import Signals
from methods.training_parts import Replay
from tasks.context import Context
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.prompt import BUILT_IN, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def order_of(
    recipe: Recipe, signals: Signals, decisions: Decisions, rows: int, seed: int
) -> Callable[[int], Sequence[int]] | None:
    """Return the value of `TrainingPlan.order`.

    Args:
        recipe: The method.
        signals: What the base knows of the facts.
        decisions: Which of them are trained.
        rows: How many rows an epoch trains without what is replayed.
        seed: The cell's seed.
    """
    part = recipe.order
    if part is None:
        return None

    def order(epoch: int) -> Sequence[int]:
        found = part.sequence(signals, decisions.kept, seed, epoch)
        whole = isinstance(found, Sequence) and sorted(found) == list(range(rows))
        contract = f"sequence returns each number from 0 to {rows - 1} once"
        refuse_unless(part, found, whole, contract)
        return found

    return order


def replayed_of(
    recipe: Recipe,
    own: Sequence[Example],
    others: Sequence[Fact],
    tokenizer: PreTrainedTokenizerBase,
    epochs: int,
    seed: int,
) -> Replayed | None:
    """Return the value of `TrainingPlan.replayed`.

    Other facts are trained as calibration texts are: the plain prompt and the first answer.

    Args:
        recipe: The method.
        own: What an epoch trains without it; replayed where the part asks for no task.
        others: The facts of the tasks that the part asks for.
        tokenizer: The base's tokenizer.
        epochs: How many epochs there are.
        seed: The cell's seed.

    Raises:
        UsageError: There is nothing to replay, or so small a share that it rounds to no row.
    """
    part = recipe.replay
    if part is None:
        return None
    knowledge = bool(part.calibration_tasks(()))
    pool = len(others) if knowledge else len(own)
    name = part_name(part)
    if not pool:
        raise UsageError(f"{name}: the tasks that it replays have no calibration facts")
    drawn = [_drawn(part, len(own), pool, seed, epoch) for epoch in range(1, epochs + 1)]
    if not drawn or not drawn[0]:
        raise UsageError(
            f"{name}: its share of {len(own)} rows rounds to none; give a larger one, or more facts"
        )
    if any(len(one) != len(drawn[0]) for one in drawn):
        raise UsageError(f"'{name}' draws another number in another epoch: it must be the same")
    used = sorted({index for one in drawn for index in one})
    places = {index: place for place, index in enumerate(used)}
    if knowledge:
        plain = Contexts(tokenizer, Prompt(BUILT_IN))
        examples = plain.examples(Context.PLAIN, [others[index] for index in used])
    else:
        examples = [own[index] for index in used]
    turns = [[places[index] for index in one] for one in drawn]
    return Replayed(examples, lambda epoch: turns[epoch - 1], len(drawn[0]))


def _drawn(part: Replay, rows: int, pool: int, seed: int, epoch: int) -> Sequence[int]:
    """Return what is replayed in an epoch."""
    found = part.draw(rows, pool, seed, epoch)
    whole = isinstance(found, Sequence) and all(
        type(index) is int and 0 <= index < pool for index in found
    )
    refuse_unless(part, found, whole, f"draw returns numbers from 0 to {pool - 1}")
    return found


def penalty_of(
    recipe: Recipe, signals: Signals, seed: int
) -> Callable[[nn.Module, int], Tensor] | None:
    """Return the value of `TrainingPlan.penalty`."""
    part = recipe.penalty
    term = part.term(signals, seed) if part else None
    if part is None or term is None:
        return None

    def penalty(model: nn.Module, step: int) -> Tensor:
        found = term(model, step)
        scalar = isinstance(found, Tensor) and found.dim() == 0 and found.requires_grad
        refuse_unless(part, found, scalar, "term returns a scalar tensor that requires gradients")
        return found

    return penalty


def notes_of(recipe: Recipe, signals: Signals, replayed: Replayed | None) -> Iterator[Notes]:
    """Yield what to record and show about them."""
    if recipe.replay is not None and replayed is not None:
        yield from recipe.replay.notes(replayed.count, len(replayed.examples))
    if recipe.penalty is not None:
        yield from recipe.penalty.notes(signals)
