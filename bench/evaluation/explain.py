"""Measures why a cell forgets: where the change of its weights meets what must be kept.

For every linear layer, dW is measured against the inputs that the untouched base gives it, on
knowledge that must be kept and on what was trained, and against the singular directions of W.
E|dW h|^2 is tr(dW C dW^T) with C = E[h h^T], which is measured once for all cells of a base and
task; so are W's directions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench.models.loading import Base
from bench.store.cost_cache import CostCache
from bench.store.records import MovedOutputs, WeightChange
from methods.calibration import enough_facts, text_batches
from methods.covariance import Covariances, input_covariances
from methods.lora_family import LARGE
from methods.side_by_side import side_by_side
from methods.targets import linear_layers, weight_of
from methods.weight_change import Change, SpectralEnds, moved_by, spectral_ends, weight_changes
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.prompt import Prompt, fact_text

TOKENS = 4096
"""About how many tokens each kind of texts has, as in PEFT-Arena's example: a mean over tokens
needs no more, while a covariance that is inverted does."""

DIRECTIONS = 16
"""How many singular directions count at each end where an adapter has no rank: the default rank."""

_SHARES = ("top_left", "top_right", "bottom_left", "bottom_right")

DIGITS = 6
"""Significant digits that are recorded."""


@dataclass(frozen=True, eq=False)
class LayerInputs:
    """What the linear layers of a base receive on some texts.

    Attributes:
        moments: C = E[h h^T] `[d_in, d_in]` of each distinct input, a mean over tokens.
        outputs: E|W h|^2 of each layer.
    """

    moments: Covariances
    outputs: Mapping[str, float]

    def moved(self, name: str, change: Change) -> tuple[float, float, float]:
        """Return E|dW h|^2, E|W h|^2 and E|h|^2 of a layer."""
        C = self.moments[name]
        return change.moved(C), self.outputs[name], float(C.trace())

    def recorded(self, moved: Sequence[tuple[float, float, float]]) -> MovedOutputs:
        """Return what is recorded of all layers, given what `moved` returned of each."""
        found = _columns(("changed", "base", "inputs"), moved)
        return MovedOutputs(tokens=min(self.moments.tokens.values()), **found)


@dataclass(frozen=True)
class Explainer:
    """Measures the cells of one base and task.

    Attributes:
        base: The untouched base.
        knowledge, knowledge_digest: Facts that no cell trains and that must be kept.
        trained: What the cell trains.
        prompt: The form in which that is trained.
        cache: Keeps what is measured of the base.
    """

    base: Base
    knowledge: Sequence[Fact]
    knowledge_digest: str
    trained: Sequence[Fact]
    prompt: Prompt
    cache: CostCache

    def explain(self, model: nn.Module) -> WeightChange:
        """Return what training did to the weights of a model's linear layers.

        Raises:
            UsageError: Its adapter is no change of weights, or the inputs or weights of the base
                cannot be measured.
        """
        if self.base.is_divided:
            raise UsageError("inputs are measured on one device: leave out --device-map")
        if next(weight_changes(model, self.base.model), None) is None:
            return self.nothing()
        count, window = directions_of(model), self.prompt.form.window
        ends = self._ends(count)
        knowledge = self._inputs(self.knowledge, fact_text, 0)
        task = self._inputs(self.trained, self.prompt.text, window)
        names, sizes, kept, learned = [], [], [], []
        # Layer by layer, and each once: merging takes time, and the changes of full fine-tuning
        # together would take as much memory as the model in float32.
        with torch.no_grad():
            for name, change in weight_changes(model, self.base.model):
                names.append(name)
                sizes.append(_sizes(change, ends[name]))
                kept.append(knowledge.moved(name, change))
                learned.append(task.moved(name, change))
        return WeightChange(
            layers=names,
            linear_layers=len(ends),
            **_columns(("squared_norm", *_SHARES), sizes),
            directions=count,
            knowledge_digest=self.knowledge_digest,
            knowledge=knowledge.recorded(kept),
            task=task.recorded(learned),
        )

    def nothing(self) -> WeightChange:
        """Return what is recorded of a model without a change of weights that can be told."""
        return WeightChange(knowledge_digest=self.knowledge_digest)

    def _ends(self, count: int) -> dict[str, SpectralEnds]:
        """Return the singular directions of each linear layer of the base."""

        def measure() -> dict[str, SpectralEnds]:
            weights = {name: weight_of(linear) for name, linear in linear_layers(self.base.model)}
            small = all(weight.is_cpu and max(weight.shape) <= LARGE for weight in weights.values())
            run: Any = side_by_side if small else map
            found = run(partial(spectral_ends, count=count), list(weights.values()))
            return dict(zip(weights, found, strict=True))

        return self.cache.get(self._key("singular directions", str(count)), measure)

    def _inputs(
        self, facts: Sequence[Fact], text: Callable[[Fact], str], window: int
    ) -> LayerInputs:
        """Return what the base's layers receive on facts.

        Args:
            facts: At least one.
            text: Writes a fact as a text.
            window: Tokens of the windows that texts are cut into; 0 where each is a row.
        """
        base = self.base
        chosen = enough_facts(base.tokenizer, facts, TOKENS, text)
        texts = [text(fact) for fact in chosen]

        def measure() -> LayerInputs:
            return _measured(base, text_batches(base.tokenizer, texts, base.device, window or None))

        if base.device.type != "cpu":  # there they would take more memory than the model
            return measure()
        digest = hashlib.sha256(json.dumps([window, texts]).encode()).hexdigest()
        return self.cache.get(self._key("layer inputs", digest), measure)

    def _key(self, *parts: str) -> tuple[str, ...]:
        base = self.base
        return (base.name, base.revision, str(base.model.dtype), *parts)


def _sizes(change: Change, ends: SpectralEnds) -> tuple[float, ...]:
    """Return |dW|^2 of a layer and the shares of it in W's directions, as `_SHARES` has them."""
    return (
        change.squared_norm(),
        change.left_share(ends.top_left),
        change.right_share(ends.top_right),
        change.left_share(ends.bottom_left),
        change.right_share(ends.bottom_right),
    )


def _columns(names: Sequence[str], rows: Sequence[Sequence[float]]) -> dict[str, Any]:
    return {
        name: _rounded(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }


def directions_of(model: nn.Module) -> int:
    """Return the rank of a model's adapter, or `DIRECTIONS` if it has none."""
    configs: Any = getattr(model, "peft_config", {})
    rank = getattr(configs.get("default"), "r", None)
    return rank if isinstance(rank, int) and rank > 0 else DIRECTIONS


@torch.no_grad()
def _measured(base: Base, batches: Iterable[Mapping[str, Tensor]]) -> LayerInputs:
    found = input_covariances(base.model, batches, scaled=False)
    for name, matrix in found.matrices.items():
        matrix *= found.samples / found.tokens[name]  # a mean over tokens, not over texts
    linear = dict(linear_layers(base.model))
    outputs = {name: moved_by(weight_of(linear[name]), found[name]) for name in found.shared}
    return LayerInputs(found, outputs)


def _rounded(values: Iterable[float]) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]
