"""What starts from calibration facts share: which facts, in which samples, and what is noted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from methods.calibration import divided_facts, window_length
from methods.lora_family import FactoredLora, Start
from methods.notes import Notes, Told, note
from methods.parts import ADAPTERS, Setting
from methods.subspaces import End
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.resolve import resolve_task

if TYPE_CHECKING:
    from torch import Tensor

    from methods.covariance import Covariances
    from methods.decomposition import Factors


@dataclass(frozen=True)
class CalibratedLora(FactoredLora):
    """LoRA that starts from a piece of W which the inputs of a layer on some facts decide.

    A part defines `factors`, which cuts the piece out of one weight, and where targets with the
    same input share work, `of_input`. One that needs more than one covariance defines `measure`.

    Attributes:
        calibration: `auto`, `train` (the training facts) or the name of a knowledge task.
        samples: The largest number of calibration facts; without it as many as have 16,384 tokens,
            or all.
        pack: Tokens per window, at most the model's context; the last window may be shorter. With 0
            each text is a sample.
    """

    calibration: str = "auto"
    samples: int | None = None
    pack: int = 2048

    needs_one_device = True
    needs_data = "layer inputs on facts"

    covariance_sets: ClassVar[int] = 1
    """How many sets of covariances are held at once; estimates of memory count on it."""

    @property
    def keeps_knowledge(self) -> bool:
        """Whether `auto` means what must be kept: the forgetting tasks, not the training facts."""
        return True

    def check(self) -> None:
        """Refuse values that no model can take, and an unknown calibration task."""
        super().check()
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"samples={self.samples}: at least one calibration fact is needed")
        if self.pack < 0:
            raise UsageError(
                f"pack={self.pack}: give the tokens of a window, such as 2048, or 0 for one text a "
                "sample"
            )
        if self.calibration not in ("auto", "train"):
            resolve_task(self.calibration, trained=False, forgotten=False)

    def calibration_tasks(self, forgetting: Sequence[str]) -> tuple[str, ...]:
        """Return the tasks to calibrate on; calibrating on the training facts needs none."""
        if self.calibration == "auto" and self.keeps_knowledge:
            return tuple(forgetting) or ("elements",)
        return () if self.calibration in ("auto", "train") else (self.calibration,)

    def prepare(self, setting: Setting) -> Start:
        """Measure the inputs of all layers, and cut a piece out of the weight of every target."""
        sets = self.measure(setting)
        # The texts are the same for all sets of one cell, or as long: every input has its key.
        start = self.decompose(
            setting, self.factors, sets[0].input_of, lambda name: self.of_input(name, *sets)
        )
        return Start(start.factors, (*start.notes, self.calibrated(setting, sets)))

    def measure(self, setting: Setting) -> tuple[Covariances, ...]:
        """Return the covariances that `of_input` is given, by default those of one set of facts."""
        facts = self.facts_of(setting, knowledge=bool(self.calibration_tasks(())))
        return (setting.signals.covariance(facts, self.samples, self.pack),)

    def measure_sets(self, setting: Setting, count: int) -> tuple[Covariances, ...]:
        """Return the covariances of so many sets of calibration facts, or of fewer.

        Args:
            setting: The cell.
            count: Into how many sets the facts are divided.
        """
        facts = self.facts_of(setting, knowledge=bool(self.calibration_tasks(())))
        sets = divided_facts(facts, count, self.samples)
        return tuple(setting.signals.covariance(some, self.samples, self.pack) for some in sets)

    def of_input(self, name: str, *sets: Covariances) -> Any:
        """Return what all targets with one input share, by default its covariance.

        Args:
            name: The input's key in `Covariances.matrices`.
            sets: What `measure` returned.
        """
        return sets[0].matrices[name]

    @abstractmethod
    def factors(self, shared: Any, weight: Tensor) -> Factors:
        """Return the piece of a weight to start from.

        Args:
            shared: What `of_input` returned.
            weight: W `[d_out, d_in]`.
        """

    def facts_of(self, setting: Setting, *, knowledge: bool) -> tuple[Fact, ...]:
        """Return the calibration facts: knowledge to keep, or the training facts.

        Raises:
            UsageError: There are none.
        """
        facts = setting.calibration if knowledge else setting.facts
        if not facts:
            raise UsageError(f"{_name_of(self)} has no facts to calibrate on")
        return facts

    def calibrated(self, setting: Setting, sets: Sequence[Covariances]) -> CalibrationNotes:
        """Return notes on the set that was measured on the fewest tokens."""
        least = min(sets, key=lambda one: min(one.tokens.values()))
        return calibration_notes(least, window_length(setting.model, self.pack))


@dataclass(frozen=True)
class TwoModes(CalibratedLora):
    """What starts in either of CorDA's two modes share.

    Attributes:
        mode: `kpm` preserves knowledge: it trains the smallest directions and calibrates on what
            must be kept (`calibration=auto`: the run's forgetting tasks). `ipm` previews the task:
            it trains the largest and calibrates on what is learned (`auto`: the training facts).
    """

    mode: Literal["kpm", "ipm"] = "kpm"

    @property
    def keeps_knowledge(self) -> bool:
        """Whether `auto` means what must be kept."""
        return self.mode == "kpm"

    @property
    def end(self) -> End:
        """The end of the spectrum whose directions are trained."""
        return End.SMALLEST if self.mode == "kpm" else End.LARGEST


def _name_of(adapter: CalibratedLora) -> str:
    """Return the name of an adapter's nearest class that is registered."""
    known = {ADAPTERS[name]: name for name in ADAPTERS.names()}
    return next(known[kind] for kind in type(adapter).__mro__ if kind in known)


@dataclass(frozen=True)
class CalibrationNotes(Notes):
    """How much data the covariances were measured on, and in which samples.

    Attributes:
        calibration_samples: Number of samples: windows, or texts where there are no windows.
        calibration_tokens: Number of tokens seen by the layer input that saw the fewest.
        calibration_window: Tokens per window; 0 where each text is a sample.
        calibration_inputs: Number of distinct layer inputs; q, k and v share one, for example.
        calibration_low_rank: How many of these inputs saw fewer tokens than they have dimensions.
    """

    calibration_samples: int | None = note()
    calibration_tokens: int | None = note()
    calibration_window: int | None = note()
    calibration_inputs: int = 0
    calibration_low_rank: int = 0

    def told(self, facts: int, kept: int | None) -> Iterator[Told]:
        """Yield the samples in words; a row of the variant is marked on the leaderboard."""
        if self.calibration_samples is None or self.calibration_window is None:
            return
        counted = f"{self.calibration_tokens:,} tokens in {self.calibration_samples:,}"
        if self.calibration_window:
            windows = "window" if self.calibration_samples == 1 else "windows"
            yield Told("calibration", f"{counted} {windows} of up to {self.calibration_window:,}")
        else:
            texts = "text" if self.calibration_samples == 1 else "texts"
            mark = "variant: calibrated one text a sample"
            yield Told("calibration", f"{counted} {texts}, each a sample: a variant", mark)


def calibration_notes(covariances: Covariances, window: int) -> CalibrationNotes:
    """Return how many tokens the covariances were measured on; warns where they are too few.

    Args:
        covariances: What was measured.
        window: Tokens per window; 0 where each text is a sample.
    """
    tokens, inputs = min(covariances.tokens.values()), len(covariances.matrices)
    low = covariances.low_rank()
    warnings: tuple[str, ...] = ()
    if low:
        widest = max(len(covariances.matrices[name]) for name in low)
        warnings = (
            f"{tokens} calibration tokens are too few for {len(low)} of {inputs} layer "
            f"inputs, which have up to {widest} dimensions; their covariances are low-rank",
        )
    return CalibrationNotes(
        covariances.samples, tokens, window, inputs, len(low), warnings=warnings
    )
