"""The LoRA family: W + s B A on every target; variants are options of PEFT's `LoraConfig`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, cast

from methods.notes import Notes, Told, note
from methods.parts import Setting
from methods.peft_adapter import PeftAdapter, attach_config, remember_initial
from methods.side_by_side import side_by_side
from methods.targets import is_transposed, linear_layers, set_weight, weight_of
from tasks.errors import UsageError

if TYPE_CHECKING:
    from peft import LoraConfig
    from torch import Tensor, nn

    from methods.decomposition import Factors


ILL_CONDITIONED = 1e7

UNEVEN = 100.0
"""From this ratio of ||A|| to ||B|| at the start, or its inverse, a row is marked."""

LARGE = 2048
"""Above this side length one decomposition keeps all cores busy and needs much memory."""


@dataclass(frozen=True)
class LoraFamily(PeftAdapter):
    """Low-rank adapters on every linear layer except the head.

    Attributes:
        r: Rank, at least 1.
        alpha: Scale before it is divided by the rank; none means r, so that s = 1.
        dropout: Dropout on the input of A, in [0, 1).
    """

    r: int = 16
    alpha: float | None = None
    dropout: float = 0.0

    options: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Further arguments for `LoraConfig`, set by variants."""

    def check(self) -> None:
        """Refuse a rank, alpha or dropout that no model can take."""
        if self.r < 1:
            raise UsageError(f"r={self.r}: the rank must be at least 1")
        if self.alpha is not None and self.alpha <= 0:
            raise UsageError(f"alpha={self.alpha}: it must be above 0")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout={self.dropout}: it must be at least 0 and below 1")

    @property
    def scale(self) -> float:
        """The s of W + s B A: alpha / r, or alpha / sqrt(r) for rsLoRA."""
        divisor = math.sqrt(self.r) if self.options.get("use_rslora") else self.r
        return (self.alpha or self.r) / divisor

    def attach(self, setting: Setting, prepared: Any) -> nn.Module:
        """Add B and A to every target."""
        return attach_config(setting, self.config(setting))

    def check_rank(self, setting: Setting) -> None:
        """Refuse a rank above the smaller side of a target, which has no more directions."""
        for name, linear in linear_layers(setting.model, setting.layers):
            if self.r > min(weight_of(linear).shape):
                shape = " x ".join(map(str, weight_of(linear).shape))
                raise UsageError(f"r={self.r} is above the smaller side of '{name}' ({shape})")

    def config(self, setting: Setting) -> LoraConfig:
        """Return PEFT's configuration for the targets of `setting`."""
        from peft import LoraConfig

        targets = dict(linear_layers(setting.model, setting.layers))
        return LoraConfig(
            task_type="CAUSAL_LM",
            r=self.r,
            lora_alpha=cast("int", self.alpha or self.r),
            lora_dropout=self.dropout,
            target_modules=list(targets),
            fan_in_fan_out=any(map(is_transposed, targets.values())),
            **self.options,
        )


@dataclass(frozen=True)
class Start:
    """What `FactoredLora` prepares: the factors of each target by its name, and notes."""

    factors: dict[str, Factors]
    notes: tuple[Notes, ...]


@dataclass(frozen=True)
class FactoredLora(LoraFamily):
    """LoRA that starts from a piece of W, given as `Factors`, and leaves W - s B A in the base.

    The `prepare` of a part calls `decompose`, which takes every weight out x in.
    """

    reads_weights = True

    def decompose(
        self,
        setting: Setting,
        factors: Callable[[Any, Tensor], Factors],
        input_of: Callable[[str], str] = str,
        of_input: Callable[[str], Any] = str,
    ) -> Start:
        """Return the factors of every target.

        Args:
            setting: The cell; its model and layers decide the targets.
            factors: Computes the factors of a target from what `of_input` returned for its input,
                and from its weight `[d_out, d_in]`.
            input_of: Maps the name of a target to the name of its input; targets may share one.
            of_input: Computes what `factors` needs of an input, given its name; it is called once
                for all targets that share the input, and its result is not kept.
        """
        self.check_rank(setting)
        targets = linear_layers(setting.model, setting.layers)
        weights = {name: weight_of(linear) for name, linear in targets}
        sharing: dict[str, list[str]] = {}
        for name in weights:
            sharing.setdefault(input_of(name), []).append(name)

        def together(names: Sequence[str]) -> list[Factors]:
            shared = of_input(input_of(names[0]))
            return [factors(shared, weights[name]) for name in names]

        groups = list(sharing.values())
        run = side_by_side if _small(weights.values()) else map
        found = dict(zip(chain(*groups), chain(*run(together, groups)), strict=True))
        return Start(found, tuple(start_notes(found)))

    def attach(self, setting: Setting, prepared: Start) -> nn.Module:
        """Add B and A, and leave W - s B A, rounded to the base's dtype, in the base."""
        import torch

        # First, while the base holds W: DoRA's magnitudes are the row norms of what PEFT finds.
        model = attach_config(setting, self.config(setting))
        for name, start in prepared.factors.items():
            layer: Any = model.base_model.model.get_submodule(name)
            pristine = weight_of(layer.base_layer).float()
            rest = torch.addmm(pristine, start.B, start.A, alpha=-self.scale)
            set_weight(layer.base_layer, rest)
            layer.lora_A["default"].weight.data = start.A.clone()
            layer.lora_B["default"].weight.data = start.B.clone()
        remember_initial(model)
        return model

    def notes(self, model: nn.Module, prepared: Start) -> Sequence[Notes]:
        """Return how well the decomposed matrices are conditioned, and the factors balanced."""
        return prepared.notes


def _small(weights: Iterable[Tensor]) -> bool:
    """Return whether a decomposition leaves cores idle and several fit into memory."""
    return all(weight.is_cpu and max(weight.shape) <= LARGE for weight in weights)


@dataclass(frozen=True)
class ConditionNotes(Notes):
    """Condition numbers of the decomposed matrices.

    Attributes:
        condition_largest: The largest over all targets.
        condition_above_1e7: Targets from 1e7 up, where float32 cannot resolve the smallest
            directions.
        condition: Condition number by target.
    """

    condition_largest: float
    condition_above_1e7: tuple[str, ...]
    condition: Mapping[str, float]


@dataclass(frozen=True)
class BalanceNotes(Notes):
    """||A|| / ||B|| (Frobenius norms): how unevenly a step is shared between A and B.

    Attributes:
        balance_median: Median over the targets.
        balance_extreme: The ratio farthest from 1.
    """

    balance_median: float | None = note()
    balance_extreme: float | None = note()

    def told(self, facts: int, kept: int | None) -> Iterator[Told]:
        """Yield the balance; a row far from 1 is marked on the leaderboard."""
        if self.balance_median is None or self.balance_extreme is None:
            return
        text = f"{self.balance_median:.3g}"
        uneven = max(self.balance_median, 1 / self.balance_median) > UNEVEN
        mark = f"A/B balance {text} before training" if uneven else ""
        farthest = f"{self.balance_extreme:.3g} where it is farthest from 1"
        yield Told("A/B balance", f"{text} in the median over layers, {farthest}", mark)


def start_notes(factors: Mapping[str, Factors]) -> Iterator[Notes]:
    """Yield how well the decomposed matrices are conditioned, and the factors balanced."""
    known = {name: f.condition for name, f in factors.items() if f.condition is not None}
    if known:
        above = sorted(name for name, condition in known.items() if condition >= ILL_CONDITIONED)
        yield ConditionNotes(max(known.values()), tuple(above), known)
    ratios = sorted(float(f.A.norm() / f.B.norm()) for f in factors.values())
    if ratios and all(math.isfinite(ratio) and ratio > 0 for ratio in ratios):
        extreme = max(ratios, key=lambda ratio: abs(math.log(ratio)))
        yield BalanceNotes(ratios[len(ratios) // 2], extreme)
