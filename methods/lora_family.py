"""The LoRA family: W + s B A on every target; variants are options of PEFT's `LoraConfig`."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast
from weakref import WeakValueDictionary

from methods.notes import Notes, Told, note
from methods.parts import Setting
from methods.peft_adapter import PeftAdapter, attach_config, lora_layers
from methods.rank_budget import SpreadNotes, rank_of_size, size_of_rank
from methods.side_by_side import side_by_side
from methods.targets import Modules, is_transposed, sides_of, targets_of, weight_of
from tasks.errors import UsageError
from tasks.fact import facts_digest
from tasks.notation import YOUNGER

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from methods.decomposition import Factors
    from methods.difference import Start as LayerStart

Found = TypeVar("Found")

ILL_CONDITIONED = 1e7

UNEVEN = 100.0
"""From this ratio of ||A|| to ||B|| at the start, or its inverse, a row is marked."""

LARGE = 2048
"""Above this side length one decomposition keeps all cores busy and needs much memory."""


@dataclass(frozen=True)
class LoraFamily(PeftAdapter):
    """Low-rank adapters on the linear layers except the head.

    Attributes:
        r: Rank, at least 1.
        alpha: Scale before it is divided by the rank; none means r, so that s = 1.
        dropout: Dropout on the input of A, in [0, 1).
        modules: Which linear layers of the decoder layers: those of attention (`attn`), of the
            feed-forward layers (`mlp`), only into (`up`) or out of (`down`) these, or `all`.
        spread: Whether r is the rank of an adapter on all modules of all layers: where fewer are
            chosen, theirs is higher, so that as many numbers are trained. An alpha that is given
            grows with it.
    """

    r: int = 16
    alpha: float | None = None
    dropout: float = 0.0
    modules: Modules = field(default=Modules.ALL, metadata=YOUNGER)
    spread: bool = field(default=False, metadata=YOUNGER)

    trains: ClassVar[str] = "A and B"

    options: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Further arguments for `LoraConfig`, set by variants."""

    seed_free: ClassVar[bool] = False
    """Whether `prepare` does not depend on the seed, so that seeds and rates share its result."""

    frozen: ClassVar[str] = ""
    """The factor that stays as it starts, `A` or `B`; empty if both are trained."""

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

    def fitted(self, model: PreTrainedModel, layers: tuple[int, ...] | None) -> Self:
        """Return it with the rank at which as many numbers are trained as in all layers.

        Where a smaller side of a weight bounds its rank, the others may not make up for it.
        """
        if not self.spread:
            return self
        whole = targets_of(model, None, Modules.ALL).values()
        chosen = targets_of(model, layers, self.modules).values()
        rank = rank_of_size(list(map(sides_of, chosen)), size_of_rank(map(sides_of, whole), self.r))
        return replace(self, r=rank, alpha=self.alpha and self.alpha * rank / self.r)

    def start_key(self, setting: Setting) -> Hashable | None:
        """Return what `prepare` depends on beside the base, unless it depends on the seed."""
        if not self.seed_free:
            return None
        # Only what measures inputs needs a model on one device; the others read weights alone.
        measured = (setting.facts, setting.calibration) if self.needs_one_device else ()
        layers = setting.layers
        return (type(self).__module__, repr(self), layers, *map(facts_digest, measured))

    def targets(self, setting: Setting) -> dict[str, nn.Module]:
        """Return the linear layers to adapt, by name."""
        return targets_of(setting.model, setting.layers, self.modules)

    def each_target(
        self,
        setting: Setting,
        found_in: Callable[[Any, Tensor], Found],
        input_of: Callable[[str], str] = str,
        of_input: Callable[[str], Any] = str,
    ) -> dict[str, Found]:
        """Return what is found in the weight of every target, small ones side by side.

        Args:
            setting: The cell.
            found_in: Computes it from what `of_input` returned and from a weight `[d_out, d_in]`.
            input_of: See `FactoredLora.decompose`.
            of_input: The same.
        """
        weights = {name: weight_of(linear) for name, linear in self.targets(setting).items()}
        sharing: dict[str, list[str]] = {}
        for name in weights:
            sharing.setdefault(input_of(name), []).append(name)

        def together(names: Sequence[str]) -> list[Found]:
            shared = of_input(input_of(names[0]))
            return [found_in(shared, weights[name]) for name in names]

        groups = list(sharing.values())
        run = side_by_side if _small(weights.values()) else map
        return dict(zip(chain(*groups), chain(*run(together, groups)), strict=True))

    def attach(self, setting: Setting, prepared: Any) -> nn.Module:
        """Add B and A to every target."""
        return attach_config(setting, self.config(setting))

    def ranks(self, setting: Setting) -> dict[str, int]:
        """Return the rank of every target: r, or its smaller side, with the same s."""
        targets = self.targets(setting)
        return {name: min(self.r, *sides_of(linear)) for name, linear in targets.items()}

    def config(self, setting: Setting, ranks: Mapping[str, int] | None = None) -> LoraConfig:
        """Return PEFT's configuration for the targets of `setting`.

        Args:
            setting: The cell.
            ranks: The rank of every target, whose s stays the same; those of `ranks` if not given.
                 A target without a rank is not adapted.
        """
        from peft import LoraConfig

        given = self.ranks(setting) if ranks is None else ranks
        targets = {name: linear for name, linear in self.targets(setting).items() if name in given}
        own = {name: rank for name, rank in given.items() if rank != self.r}
        power = 0.5 if self.options.get("use_rslora") else 1.0
        return LoraConfig(
            task_type="CAUSAL_LM",
            r=self.r,
            lora_alpha=cast("int", self.alpha or self.r),
            lora_dropout=self.dropout,
            target_modules=list(targets),
            rank_pattern=own,
            alpha_pattern={name: self.scale * rank**power for name, rank in own.items()},
            fan_in_fan_out=any(map(is_transposed, targets.values())),
            **self.options,
        )

    def notes(self, model: nn.Module, prepared: Any) -> Sequence[Notes]:
        """Return a warning about targets whose smaller side is below the rank."""
        sides = {n: min(layer.in_features, layer.out_features) for n, layer in lora_layers(model)}
        narrow = [name for name, side in sides.items() if side < self.r]
        spread = (SpreadNotes(self.r),) if self.spread else ()
        if not narrow:
            return spread
        several = f" and {len(narrow) - 1} more" if len(narrow) > 1 else ""
        warning = (
            f"r={self.r} is above the smaller side of '{narrow[0]}'{several}: adapted there with a "
            f"rank of {min(sides[name] for name in narrow)}"
        )
        return (*spread, Notes(warnings=(warning,)))


@dataclass(frozen=True, eq=False)
class Start:
    """What `FactoredLora` prepares: the factors of each target by its name, and notes.

    Attributes:
        factors: On the CPU, whatever the device of the model.
        notes: How well the matrices are conditioned, and more.
        placed: The factors of each target on a device, for as long as a model uses them.
    """

    factors: dict[str, Factors]
    notes: tuple[Notes, ...]
    placed: WeakValueDictionary[tuple[str, str], LayerStart] = field(
        default_factory=WeakValueDictionary
    )

    def on(self, name: str, device: torch.device) -> LayerStart:
        """Return the start of a target on a device; all models there share its memory."""
        from methods.difference import Start as LayerStart

        start = self.placed.get((name, str(device)))
        if start is None:
            factors = self.factors[name]
            start = LayerStart(factors.A.to(device), factors.B.to(device))
            self.placed[name, str(device)] = start
        return start


@dataclass(frozen=True)
class FactoredLora(LoraFamily):
    """LoRA that starts from a piece of W, given as `Factors`, and trains what differs from it.

    W' = W + s (B A - B_0 A_0), see `methods.difference`; where A_0 or B_0 is 0, that is LoRA. The
    `prepare` of a part calls `decompose`, which takes every weight out x in.
    """

    reads_weights = True
    seed_free = True

    added: ClassVar[bool] = False
    """Whether the start is added instead, W' = W + s B A, so that it is not the base."""

    def decompose(
        self,
        setting: Setting,
        factors: Callable[[Any, Tensor], Factors],
        input_of: Callable[[str], str] = str,
        of_input: Callable[[str], Any] = str,
    ) -> Start:
        """Return the factors of every target.

        Args:
            setting: The cell; its model and layers, with `modules`, decide the targets.
            factors: Computes the factors of a target from what `of_input` returned for its input,
                and from its weight `[d_out, d_in]`.
            input_of: Maps the name of a target to the name of its input; targets may share one.
            of_input: Computes what `factors` needs of an input, given its name; it is called once
                for all targets that share the input, and its result is not kept.
        """

        def on_cpu(shared: Any, weight: Tensor) -> Factors:
            return factors(shared, weight).cpu()

        found = self.each_target(setting, on_cpu, input_of, of_input)
        return Start(found, tuple(start_notes(found)))

    def attach(self, setting: Setting, prepared: Start) -> nn.Module:
        """Add B and A, which start at the prepared factors, and leave W in the base."""
        from methods.difference import begin

        ranks = {name: len(factors.A) for name, factors in prepared.factors.items()}
        model = attach_config(setting, self.config(setting, ranks))
        for name, layer in lora_layers(model):
            start = prepared.on(name, layer.lora_A["default"].weight.device)
            begin(layer, start, added=self.added)
            if self.frozen:
                getattr(layer, f"lora_{self.frozen}")["default"].requires_grad_(False)
        return model

    def notes(self, model: nn.Module, prepared: Start) -> Sequence[Notes]:
        """Return how well the decomposed matrices are conditioned, and the factors balanced."""
        return (*super().notes(model, prepared), *prepared.notes)


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
