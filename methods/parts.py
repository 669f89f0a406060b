"""Base classes for the choices a method makes: how weights change, where, and what is learned.

A part is a frozen dataclass in a file of its own under `methods/adapters`, `methods/placement`
or `methods/strategies`; its fields are its parameters. Its docstring begins with a plain sentence,
which `list` shows, and gives the formula with shapes, the paper, and whether the part is **exact**
(the paper's own formula) or **rebuilt** (from abstracts and reviews).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from methods.calibration import setting_batches
from methods.notes import Notes
from methods.signals import Signals
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Setting:
    """Everything an adapter may use to prepare and attach itself in one cell.

    Attributes:
        model: A borrowed copy of the base that shares its weights. An adapter may rebind or
            overwrite any of them: whatever it touches is copied first.
        facts: The facts that will be trained, after the filter.
        calibration: Facts of the tasks that `calibration_tasks` asked for; empty if it asked for
            none.
        layers: Indices of the decoder layers to train, from 0; None trains all.
        steps: Number of optimizer steps that training will take.
        seed: The cell's seed; torch's generator is seeded with it before `prepare` and `attach`.
        signals: What the untouched base knows about the facts.
        base_name: Registry name or hub id of the base, written into saved adapters.
        tokenizer: The base's tokenizer.
    """

    model: PreTrainedModel
    facts: tuple[Fact, ...]
    calibration: tuple[Fact, ...]
    layers: tuple[int, ...] | None
    steps: int
    seed: int
    signals: Signals
    base_name: str
    tokenizer: PreTrainedTokenizerBase

    def calibration_batches(
        self,
        source: Literal["task", "knowledge"] = "task",
        pack: int | None = None,
        samples: int | None = None,
    ) -> Iterator[dict[str, Tensor]]:
        """Return batches of texts to calibrate on, ready for `model(**batch)`.

        A batch holds `input_ids` and `attention_mask`, both `[batch, seq]`. Each fact becomes the
        text that training sees, its prompt followed by its target.

        Args:
            source: `task` for the facts to train, `knowledge` for those in `calibration`.
            pack: Tokens per window, at most the model's context: texts are joined and cut into
                windows, the last of which may be shorter. Without it each text is a row, padded on
                the right.
            samples: The largest number of facts, chosen by a fixed hash; None takes all.

        Raises:
            UsageError: There are no such facts, or an argument is wrong. `calibration` is empty
                unless `Adapter.calibration_tasks` asks for some.
        """
        if source not in ("task", "knowledge"):
            raise UsageError(
                f"calibration_batches('{source}'): the source must be 'task' or 'knowledge'; tasks "
                "to calibrate on are named by the adapter's calibration_tasks"
            )
        if (pack or 0) < 0 or (samples is not None and samples < 1):
            raise UsageError(
                f"calibration_batches(pack={pack}, samples={samples}): both must be at least 1, "
                "or None"
            )
        if not (self.facts if source == "task" else self.calibration):
            raise UsageError(
                f"calibration_batches('{source}'): there are no facts to calibrate on; 'knowledge' "
                "needs an adapter whose calibration_tasks names tasks to calibrate on"
            )
        # There and not here: identity does not count the code of this module.
        return setting_batches(self, source, pack, samples)


class Part:
    """What adapters, placements and strategies have in common.

    Attributes:
        certainty: `exact` if the formula is the paper's own, `rebuilt` if it was reconstructed
            from abstracts and reviews.
        paper: The paper's arXiv id, or an empty string.
        variants: Which values of parameters make something else of it than the paper's, in a few
            words that `list` shows; empty if none do.
        version: Raise it by hand when a part's numbers change for a reason that its own file does
            not show; its cells then run again.
    """

    certainty: ClassVar[str] = "exact"
    paper: ClassVar[str] = ""
    variants: ClassVar[str] = ""
    version: ClassVar[int] = 1

    def check(self) -> None:
        """Raise `UsageError` for values that can never work; called before a model loads."""


class Adapter(Part, ABC):
    """How weights are changed.

    A cell calls `calibration_tasks`, `prepare` and `attach` in this order, then `extra_loss` and
    `after_step` for each step, then `notes`, and `save` if adapters are kept.

    Attributes:
        learning_rate: The default learning rate, which works on the embedded model.
        per_layer: Whether it has modules in each decoder layer, which a placement requires.
        trains_weights: Whether it trains weights of the base itself, which then take several times
            their own memory; estimates before a run count on it.
        needs_one_device: Whether it refuses a base whose layers lie on several devices.
        reads_weights: Whether it trains, cuts or decomposes the weights of linear layers, which a
            quantised base does not have in a plain form; nor can it stand on top of another
            adapter, see `methods.two_steps.rules`.
        starts_as_base: Whether the model with the untrained adapter is the base, by definition;
            None if only a run can tell. A cell's record says what was measured, and what is
            forgotten is told of the untouched base in either case.
        copies_weights: Whether it trains beside copies of all weights of linear layers; estimates
            before a run count on it.
        trains: What is trained, in a few words that `list --compare` shows.
        needs_data: What it measures before training, likewise; empty: as its own code tells.
            None of the last four is part of a cell's identity.
    """

    learning_rate: ClassVar[float] = 1e-3
    per_layer: ClassVar[bool] = True
    trains_weights: ClassVar[bool] = False
    needs_one_device: ClassVar[bool] = False
    reads_weights: ClassVar[bool] = True
    starts_as_base: ClassVar[bool | None] = True
    copies_weights: ClassVar[bool] = False
    trains: ClassVar[str] = ""
    needs_data: ClassVar[str] = ""

    def files(self) -> tuple[Path, ...]:
        """Return the files that parameters name; their content is part of the cell's identity."""
        return ()

    def calibration_tasks(self, forgetting: Sequence[str]) -> tuple[str, ...]:
        """Return the knowledge tasks whose calibration part this adapter wants.

        Args:
            forgetting: Names of the knowledge tasks among the run's forgetting tasks.
        """
        return ()

    def fitted(self, model: PreTrainedModel, layers: tuple[int, ...] | None) -> Adapter:
        """Return the adapter as it is prepared and attached; itself unless a size depends on where.

        Args:
            model: The base.
            layers: Indices of the decoder layers to train, from 0; None trains all.
        """
        return self

    def prepare(self, setting: Setting) -> Any:
        """Return what `attach` needs, for example a decomposition; timed as a phase of its own."""
        return None

    def start_key(self, setting: Setting) -> Hashable | None:
        """Return what `prepare` depends on, beside the base; cells with the same key share it.

        None, the default, lets each cell prepare for itself, as it must if the result depends on
        the seed. A shared result stays in memory: keep it small, and on the CPU.
        """
        return None

    @abstractmethod
    def attach(self, setting: Setting, prepared: Any) -> nn.Module:
        """Return the model to train, in which only the parameters to train require gradients."""

    def extra_loss(self, model: nn.Module) -> Tensor | None:
        """Return a scalar tensor to add to the batch loss, or None."""
        return None

    def after_step(self, model: nn.Module, step: int) -> None:
        """Act after optimizer step `step`, counted from 0, while its gradients are still there."""

    def keeps_state(self, model: nn.Module) -> bool:
        """Return whether more is kept between steps than the parameters that are trained.

        A training that was stopped would lack it, so it begins anew instead of going on. An adapter
        that acts after steps is taken to keep something, unless it says otherwise here.
        """
        return type(self).after_step is not Adapter.after_step

    def notes(self, model: nn.Module, prepared: Any) -> Sequence[Notes]:
        """Return notes to record and show about this cell, see `methods.notes`."""
        return ()

    def save(self, model: nn.Module, prepared: Any, setting: Setting, folder: Path) -> None:
        """Write the trained adapter so that it can be loaded on the untouched base.

        Args:
            model: The trained model.
            prepared: What `prepare` returned.
            setting: The cell that was trained.
            folder: Where to write; it may not exist yet.

        Raises:
            UsageError: The adapter cannot be saved; its cell stays measured, with a warning.
        """
        raise UsageError(
            f"{ADAPTERS.name_of(type(self))} cannot be saved: give {type(self).__name__} a method "
            "'save', or leave out --save-adapters"
        )


class Placement(Part, ABC):
    """Where weights are changed."""

    @abstractmethod
    def layers(self, signals: Signals, count: int, seed: int) -> tuple[int, ...]:
        """Return the indices of the decoder layers to train, from 0 at the input.

        Args:
            signals: What the untouched base knows about the facts.
            count: How many decoder layers the base has.
            seed: The cell's seed.

        Raises:
            UsageError: The base does not have the layers that the parameters name.
        """

    def notes(self, signals: Signals, layers: tuple[int, ...]) -> Sequence[Notes]:
        """Return notes to record and show about the choice of `layers`."""
        return ()


class Filter(Part, ABC):
    """Which facts are trained."""

    @abstractmethod
    def keep(self, signals: Signals, seed: int) -> Tensor:
        """Return a bool tensor `[facts]` that is True for the facts to train."""

    def notes(self, signals: Signals, kept: Tensor) -> Sequence[Notes]:
        """Return notes to record and show about the choice of facts."""
        return ()


class Weights(Part, ABC):
    """How strongly each fact is learned."""

    @abstractmethod
    def weights(self, signals: Signals, kept: Tensor, seed: int) -> Tensor:
        """Return the weight of each fact in the loss, float64 `[facts]`.

        Args:
            signals: What the base knows about the facts; in a later epoch, see `refreshed`.
            kept: Which facts are trained, bool `[facts]`; their weights have mean 1, others are 0.
            seed: The cell's seed.
        """

    def refreshed(self, epoch: int) -> bool:
        """Return whether to compute new weights before `epoch`, counted from 1.

        If so, `weights` is called with signals whose distances are those of the answers that the
        model in training gives now.
        """
        return False

    def notes(self, signals: Signals, weights: Tensor) -> Sequence[Notes]:
        """Return notes to record and show about the `weights`."""
        return ()


ADAPTERS: Registry[Adapter] = Registry(
    "adapter", "methods.adapters", "semantic_peft_bench.adapters"
)
PLACEMENTS: Registry[Placement] = Registry(
    "placement", "methods.placement", "semantic_peft_bench.placements"
)
STRATEGIES: Registry[Part] = Registry(
    "strategy", "methods.strategies", "semantic_peft_bench.strategies"
)
adapter = ADAPTERS.register
placement = PLACEMENTS.register
strategy = STRATEGIES.register
