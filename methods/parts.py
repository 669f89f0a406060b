"""The three choices a method makes, as classes to build on: how, where, and what is learned.

A part is a frozen dataclass in a file of its own under `methods/adapters`, `methods/placement`
or `methods/strategies`; its fields are its parameters. Its docstring gives the paper, the
formula with shapes, and whether it is **exact** or **rebuilt**.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from methods.calibration import calibration_facts, text_batches
from methods.notes import Notes
from methods.signals import Signals
from tasks.fact import Fact
from tasks.prompt import fact_text
from tasks.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Setting:
    """What an adapter is given to prepare and attach itself.

    Attributes:
        model: A borrowed copy of the pristine base whose weights alias the resident one; an
            adapter may rebind or write any of them, the lender copies what was touched.
        facts: The facts that will be trained, after the filter.
        calibration: Facts of `calibration_tasks()`; empty when it asked for none.
        layers: Indices of the decoder layers to train; None trains all.
        steps: Optimizer steps the training will take.
        seed: The cell's seed; torch's generator is seeded with it before prepare and attach.
        signals: What the pristine base knows about the facts.
        base_name: Registry name or hub id of the base, written into saved adapters.
        tokenizer: The base's.
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
        """Return texts to calibrate on, `input_ids` and `attention_mask` for `model(**batch)`.

        Args:
            source: `task` for the facts to train, `knowledge` for `calibration`; each fact is the
                text that training sees, its prompt and target.
            pack: Tokens in a window of texts packed back to back, the last one shorter; at most
                the model's context. Without it each text is a row, padded on the right.
            samples: At most so many facts, chosen by a fixed hash.

        Raises:
            UsageError: There are no such facts: `knowledge` is empty unless
                `Adapter.calibration_tasks` asks for some.
        """
        facts = calibration_facts(self.facts if source == "task" else self.calibration, samples)
        config = self.model.config.get_text_config()
        window = pack and min(pack, getattr(config, "max_position_embeddings", pack))
        texts = [fact_text(fact) for fact in facts]
        return text_batches(self.tokenizer, texts, self.model.device, window)


class Part:
    """What every part has.

    Attributes:
        certainty: 'exact' or 'rebuilt'.
        paper: An arXiv id, or ''.
        version: Raised by hand when a part's numbers change for a reason that its own file does
            not show; its cells then run again.
    """

    certainty: ClassVar[str] = "exact"
    paper: ClassVar[str] = ""
    version: ClassVar[int] = 1

    def check(self) -> None:
        """Raise `UsageError` for parameters that can never work; called before a model loads."""


class Adapter(Part, ABC):
    """How weights are changed.

    One cell calls, in this order: `calibration_tasks`, `prepare`, `attach`, then for each step
    `extra_loss` and `after_step`, at last `save` when adapters are kept.

    Attributes:
        learning_rate: The default that works on the embedded model.
        per_layer: Whether it has modules in each decoder layer, as a placement needs.
        trained_copies: Memory of training in copies of the base, for estimates before a run: the
            base itself, and the gradients and two moments of Adam of what is trained.
        needs_one_device: Whether it refuses a base whose layers are divided over devices.
    """

    learning_rate: ClassVar[float] = 1e-3
    per_layer: ClassVar[bool] = True
    trained_copies: ClassVar[float] = 1.5
    needs_one_device: ClassVar[bool] = False

    def files(self) -> tuple[Path, ...]:
        """Return files named by parameters; their content is part of the cell's identity."""
        return ()

    def calibration_tasks(self, forgetting: Sequence[str]) -> tuple[str, ...]:
        """Return the knowledge tasks whose calibration part is wanted.

        Args:
            forgetting: The knowledge tasks among the run's forgetting tasks.
        """
        return ()

    def prepare(self, setting: Setting) -> Any:
        """Compute what attaching needs, for example a decomposition; timed as its own phase."""
        return None

    @abstractmethod
    def attach(self, setting: Setting, prepared: Any) -> nn.Module:
        """Return the model to train: exactly the trainable parameters require gradients."""

    def extra_loss(self, model: nn.Module) -> Tensor | None:
        """Return a scalar to add to the batch loss, or None."""
        return None

    def after_step(self, model: nn.Module, step: int) -> None:
        """Called after optimizer step `step`, counted from 0."""

    def notes(self, model: nn.Module, prepared: Any) -> Sequence[Notes]:
        """Return what is worth recording and showing about this cell, see `methods.notes`."""
        return ()

    def save(self, model: nn.Module, prepared: Any, setting: Setting, folder: Path) -> None:
        """Write the trained adapter so that it loads on the untouched base."""
        raise NotImplementedError


class Placement(Part, ABC):
    """Where weights are changed."""

    @abstractmethod
    def layers(self, signals: Signals, count: int, seed: int) -> tuple[int, ...]:
        """Return the decoder layers to train, of `count` layers numbered from 0 at the input."""

    def notes(self, signals: Signals, layers: tuple[int, ...]) -> Sequence[Notes]:
        """Return what is worth recording and showing about the choice of `layers`."""
        return ()


class Filter(Part, ABC):
    """What is learned: which facts are trained."""

    @abstractmethod
    def keep(self, signals: Signals, seed: int) -> Tensor:
        """Return a bool tensor `[facts]`: True for the facts to train."""

    def notes(self, signals: Signals, kept: Tensor) -> Sequence[Notes]:
        """Return what is worth recording and showing about the choice of facts."""
        return ()


class Weights(Part, ABC):
    """How strongly each fact is learned."""

    @abstractmethod
    def weights(self, signals: Signals, kept: Tensor, seed: int) -> Tensor:
        """Return a float64 tensor `[facts]` of mean 1 over the `kept` facts, 0 for the others."""

    def refreshed(self, epoch: int) -> bool:
        """Return whether to weigh anew before `epoch`, counted from 1.

        `weights` is then called with signals whose distances are those of what the model in
        training answers now.
        """
        return False

    def notes(self, signals: Signals, weights: Tensor) -> Sequence[Notes]:
        """Return what is worth recording and showing about the `weights`."""
        return ()


ADAPTERS: Registry[Adapter] = Registry(
    "adapter", "methods.adapters", "semantic_peft_bench.adapters"
)
PLACEMENTS: Registry[Placement] = Registry(
    "placement", "methods.placement", "semantic_peft_bench.placements"
)
STRATEGIES: Registry[Filter | Weights] = Registry(
    "strategy", "methods.strategies", "semantic_peft_bench.strategies"
)
adapter = ADAPTERS.register
placement = PLACEMENTS.register
strategy = STRATEGIES.register
