"""The results schema: one record per cell and one row per fact.

Everything in tables and plots is recomputed from these two.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from bench.config.types import DType
from bench.store.knowledge import KnowledgeCategory
from tasks.division import FactSet

SCHEMA_VERSION = 2


class Status(StrEnum):
    """How a cell ended; a closed set."""

    DONE = "done"
    FAILED = "failed"
    OUT_OF_MEMORY = "out_of_memory"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"


class PhaseName(StrEnum):
    """The phases of a cell, whose time and memory are measured separately."""

    PREPARE = "prepare"
    TRAIN = "train"
    EVALUATE = "evaluate"
    FORGET = "forget"


class Model(BaseModel):
    """Base of all records: unknown fields are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tuned(Model):
    """The part that a cell has in a tuned grid.

    Attributes:
        fact_set: Whether the cell tries a candidate on the tuning set, or trains the chosen one
            on the reporting set; only the latter is on the leaderboard.
        method: The recipe as it was requested, without its tuned parameters.
        other_digest, other_facts: The digest and number of the facts of the other set.
        over: What was tuned when the cell was planned: `lr`, `epochs`, `batch_size`, parameters.
            Not part of the id, so that tuning more later reuses existing cells.
        values: The cell's value of each, as written; absent in older records, not part of the id.
    """

    fact_set: FactSet
    method: str
    other_digest: str
    other_facts: int
    over: tuple[str, ...]
    values: dict[str, str] = Field(default_factory=dict)


class CellSpec(Model):
    """What identifies a cell; the cell id is a digest of all of it.

    Attributes:
        model, model_revision, dtype: The base model.
        task, facts_digest, facts: The task's name, the digest and number of its selected facts.
        prompt_digest: Demonstrations, the form of prompts and targets, and the budgets of answers.
        calibration_digest: The facts that the adapter calibrates on; empty if there are none.
        method: The recipe as users write it, without defaults, as on the leaderboard.
        recipe: The recipe with every parameter.
        source_digest: The code of the recipe's parts, see `methods.identity`, and the content of
            files that they name.
        learning_rate, epochs, batch_size, seed: Training.
        schedule: `bench.training.schedule.describe()`: the values that training uses.
        evaluation: `bench.evaluation.version.EVALUATION`; 0, and not written, in older records.
        tuned: The part in a tuned grid. Not written if there is none, so that ids and records of
            other cells are the same as before grids could be tuned.
    """

    schema_version: int = SCHEMA_VERSION
    model: str
    model_revision: str
    dtype: DType
    task: str
    facts_digest: str
    facts: int
    prompt_digest: str
    calibration_digest: str
    method: str
    recipe: str
    source_digest: str
    learning_rate: float
    epochs: int
    batch_size: int
    schedule: str
    seed: int
    evaluation: int = 0
    tuned: Tuned | None = None

    @property
    def fact_set(self) -> FactSet | None:
        """The set of facts that it trains on; None if the grid is not tuned."""
        return self.tuned.fact_set if self.tuned else None

    @property
    def asked(self) -> str:
        """The recipe as it was requested."""
        return self.tuned.method if self.tuned else self.method

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        absent = {"tuned": None, "evaluation": 0}
        return {k: v for k, v in content.items() if k not in absent or v != absent[k]}


class Phase(Model):
    """Cost of one phase.

    Attributes:
        seconds: The wall time spent.
        seconds_cold: The same as if nothing had been cached.
        peak_bytes: Peak memory: resident set on a CPU, allocated on a GPU.
    """

    seconds: float
    seconds_cold: float
    peak_bytes: int


class Forgetting(Model):
    """One forgetting task of one cell, paired per item with the pristine base.

    Attributes:
        task: `elements`, `lm_eval:piqa`, `drift`, ...
        metric: What the scores are: `acc`, `exact_match`, `kl` (nats per token), ...
        base, tuned: Mean scores.
        base_items, tuned_items: Scores per item, in the same order.
        forgetting: base - tuned for scores; the mean KL for drift.
        at_floor: The base is not above chance, so nothing could be forgotten.
        limit: The maximum number of items that was requested.
        digest: Digest of the items.
    """

    task: str
    metric: str
    base: float
    tuned: float
    base_items: list[float]
    tuned_items: list[float]
    forgetting: float
    at_floor: bool
    limit: int
    digest: str


class Epoch(Model):
    """One point of the learning curve, teacher-forced, over the kept facts.

    The loss of a diverged cell is None where it is not finite.
    """

    epoch: int
    loss: float | None
    token_accuracy: float


class Metrics(BaseModel):
    """Means over facts by name, see `bench.evaluation.metrics`.

    Open on purpose: a record that was written before there was some metric, or with one whose
    plug-in is gone since, is as good as ever. A metric that the record lacks is None, as is one
    whose denominator is empty.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, float | None] = Field(init=False)

    def __getattr__(self, name: str) -> float | None:
        if name.startswith("_"):  # pydantic and copy ask for names that must be absent.
            raise AttributeError(name)
        return self.__pydantic_extra__.get(name)


class CellRecord(Model):
    """`cells/<cell_id>.json`.

    Attributes:
        reason: One line for a status other than done; empty for done.
        step: The optimizer step at which a diverged cell was stopped.
        traceback: Of a failed cell.
        parameters, parameters_total: Trainable parameters, and those of the base.
        flops: Counted floating point operations of training.
        init_difference: Largest |logit difference| to the base before training.
        identity: Whether that is below the tolerance of an identity.
        warnings: Lines for people, shown below the table.
        notes: What parts recorded about themselves (kept facts, layers, conditioning).
        provenance: Git commit, package versions, device, dtype, threads, data digest.
        accumulation: Parts into which each batch was divided, their gradients added up: 2 after
            memory had run out with whole batches.
    """

    schema_version: int = SCHEMA_VERSION
    cell_id: str
    spec: CellSpec
    status: Status
    reason: str = ""
    step: int | None = None
    traceback: str = ""
    metrics: Metrics | None = None
    forgetting: list[Forgetting] = Field(default_factory=list)
    curve: list[Epoch] = Field(default_factory=list)
    phases: dict[PhaseName, Phase] = Field(default_factory=dict)
    parameters: int | None = None
    parameters_total: int | None = None
    flops: float | None = None
    init_difference: float | None = None
    identity: bool | None = None
    adapter_path: str = ""
    warnings: list[str] = Field(default_factory=list)
    notes: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    accumulation: int = 1


class FactRow(Model):
    """One row of `facts/<cell_id>.parquet`.

    Columns with a default are there as long as something measures them: a file that lacks one
    counts as if it held None. Metrics beyond these are columns of their own, as numbers.

    Attributes:
        knowledge: What the base knew: correct greedily, in at least one sample, or never.
        distance_before, distance_after: Semantic distance of the answer to the target.
        movement: Distance between the answers before and after.
        nll_before, nll_after: Mean negative log-likelihood of the target's tokens, in nats.
        generality, generality_before: Share of paraphrases answered; None without paraphrases.
        locality: Share of the neighbours answered before that still are; None without any.
        correct_plain: Correct on the plain prompt, without demonstrations.
        empty_before, empty_after: The answer was empty, so its distance is 1 by definition.
        curve: Teacher-forced token accuracy per epoch; empty when the fact was not kept.
        old_answers: What an update replaces, empty where the fact is no update; then all below
            are None.
        old_before, old_after: The answer was one of the old ones.
        updated: The answer after training is a new one and no old one.
        old_nll_before, old_nll_after: As `nll_before` and `nll_after`, of the first old answer.
        prefers_new_after: The new answer is likelier per token than the old one.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, float | None] = Field(init=False)

    fact_id: str
    question: str
    target: str
    answers: list[str]
    relation: str
    subject: str
    answer_before: str
    answer_after: str
    correct_before: bool | None = None
    knowledge: KnowledgeCategory
    correct_after: bool | None = None
    correct_plain: bool | None = None
    f1_before: float
    f1_after: float | None = None
    distance_before: float | None = None
    distance_after: float | None = None
    movement: float
    nll_before: float | None = None
    nll_after: float | None = None
    generality_before: float | None = None
    generality: float | None = None
    locality: float | None = None
    empty_before: bool
    empty_after: bool
    weight: float
    kept: bool
    curve: list[float]
    old_answers: list[str]
    old_before: bool | None = None
    old_after: bool | None = None
    updated: bool | None = None
    old_nll_before: float | None = None
    old_nll_after: float | None = None
    prefers_new_after: bool | None = None
