"""The results schema: one record per cell and one row per fact.

Everything in tables and plots is recomputed from these two.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from bench.config.types import DType, Quantisation, Schedule
from bench.store.asks import Asks
from bench.store.knowledge import KnowledgeCategory
from methods.two_steps.mode import StepMode
from tasks.context import TrainPrompt
from tasks.division import FactSet

SCHEMA_VERSION = 3


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
    EXPLAIN = "explain"


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


class After(Model):
    """The first step that a cell starts from.

    Attributes:
        cell: The id of the first step's cell.
        mode: How the cell starts from it.
        task, method: What the first step trained, and by which recipe; the id says the same.
        setting: A digest of the first step's spec without its seed: cells with the same one differ
            in nothing but seeds.
        version: `methods.two_steps.mode.VERSION`.
    """

    cell: str
    mode: StepMode
    task: str
    method: str
    setting: str
    version: int

    @property
    def told(self) -> str:
        """The step in words: `after handbook.txt, frozen`."""
        by = "" if self.method == "lora" else f" by {self.method}"
        return f"after {self.task}{by}, {self.mode}"


class Rescored(Model):
    """That stored answers were judged anew, after training and without a model.

    Attributes:
        scoring: By what: `contains`, or `my_rule.py:lenient`.
        digest: Of the file that holds a function of one's own; empty otherwise.
    """

    scoring: str
    digest: str = ""


class CellSpec(Model):
    """What identifies a cell; the cell id is a digest of all of it.

    Attributes:
        model, model_revision, dtype: The base model.
        quantisation: Of its linear layers. Not written if there is none.
        task, facts_digest, facts: The task's name, the digest and number of the facts that are
            asked.
        lessons_digest, lessons: The digest and number of what is trained, if those are not the
            facts that are asked. Not written if they are.
        prompt_digest: Demonstrations, the form of prompts and targets, and the budgets of answers.
        calibration_digest: The facts that the adapter calibrates on; empty if there are none.
        replay_digest: The facts that may be replayed. Not written if there are none.
        method: The recipe as users write it, without defaults, as on the leaderboard.
        recipe: The recipe with every parameter.
        source_digest: The code of the recipe's parts, see `methods.identity`, and the content of
            files that they name.
        train_prompt: The contexts that training sees.
        learning_rate, epochs, batch_size, seed: Training.
        accumulation: Batches of `batch_size` facts per optimizer step.
        schedule, warmup: How the learning rate changes; `warmup` is a share of the steps.
        optimizer: `bench.training.schedule.describe()`: the other values that training uses.
        evaluation: `bench.evaluation.version.EVALUATION`.
        tuned: The part in a tuned grid. Not written if there is none.
        after: The first step that it starts from. Not written if there is none.
        rescored: How its answers were judged anew. Not written if they were not.
    """

    schema_version: int = SCHEMA_VERSION
    model: str
    model_revision: str
    dtype: DType
    quantisation: Quantisation = Quantisation.NONE
    task: str
    facts_digest: str
    facts: int
    lessons_digest: str = ""
    lessons: int = 0
    prompt_digest: str
    calibration_digest: str
    replay_digest: str = ""
    method: str
    recipe: str
    source_digest: str
    train_prompt: TrainPrompt = TrainPrompt.PLAIN
    learning_rate: float
    epochs: int
    batch_size: int
    accumulation: int = 1
    schedule: Schedule = Schedule.COSINE
    warmup: float = 0.1
    optimizer: str
    seed: int
    evaluation: int
    tuned: Tuned | None = None
    after: After | None = None
    rescored: Rescored | None = None

    @property
    def fact_set(self) -> FactSet | None:
        """The set of facts that it trains on; None if the grid is not tuned."""
        return self.tuned.fact_set if self.tuned else None

    @property
    def is_candidate(self) -> bool:
        """Whether it only tries a value that is tuned, and is not reported."""
        return self.fact_set is FactSet.TUNING

    @property
    def trained(self) -> int:
        """How many facts, or other lessons, are trained."""
        return self.lessons or self.facts

    @property
    def precision(self) -> str:
        """The number format of the base's weights, as people read it: `bfloat16, 4bit`."""
        quantised = self.quantisation is not Quantisation.NONE
        return f"{self.dtype}, {self.quantisation}" if quantised else str(self.dtype)

    @property
    def asked(self) -> str:
        """The recipe as it was requested."""
        return self.tuned.method if self.tuned else self.method

    @property
    def started(self) -> str:
        """The first step in words; empty if there is none."""
        return self.after.told if self.after else ""

    @property
    def first_setting(self) -> str:
        """What cells that differ in their seeds alone share of their first steps."""
        return self.after.setting if self.after else ""

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        unset = {
            "tuned": None,
            "quantisation": Quantisation.NONE,
            "lessons_digest": "",
            "lessons": 0,
            "replay_digest": "",
            "after": None,
            "rescored": None,
        }
        return {k: v for k, v in content.items() if k not in unset or v != unset[k]}


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


class Evaluated(Model):
    """One task of `--evaluate` of one cell: what was learned, paired per item with the base.

    Attributes:
        task: `gsm8k`, `lm_eval:gsm8k`, ...
        metric: What the scores are: `acc`, `exact_match`, ...
        base, tuned: Mean scores; more is better.
        base_items, tuned_items: Scores per item, in the same order.
        limit: The maximum number of items that was requested.
        digest: Digest of the items.
    """

    task: str
    metric: str
    base: float
    tuned: float
    base_items: list[float]
    tuned_items: list[float]
    limit: int
    digest: str


class Epoch(Model):
    """One point of the learning curve, teacher-forced, over the kept facts.

    The loss of a diverged cell is None where it is not finite.
    """

    epoch: int
    loss: float | None
    token_accuracy: float


class Checkpoint(Model):
    """What was measured after an epoch: one point of a path from learned to forgotten.

    The share learned by then is in the fact rows. Before training, everything here is 0, except
    after a first step, for which epoch 0 is a checkpoint too.

    Attributes:
        epoch: The number of epochs done.
        drift: Mean KL to the base, in nats per token, on the first texts of the task `drift`;
            None where drift is not measured.
        forgetting: By task, base minus tuned, in the unit of its score; empty unless every task
            is measured at every checkpoint.
    """

    epoch: int
    drift: float | None = None
    forgetting: dict[str, float] = Field(default_factory=dict)


class MovedOutputs(Model):
    """How far a change of weights moves the outputs of linear layers, on texts of one kind.

    h is what the untouched base puts into a layer, and E the mean over the tokens of the texts.

    Attributes:
        tokens: How many tokens these are.
        changed: E|dW h|^2 of each changed layer.
        base: E|W h|^2 of each: what the base puts out.
        inputs: E|h|^2 of each.
    """

    tokens: int
    changed: list[float]
    base: list[float]
    inputs: list[float]


class WeightChange(Model):
    """What training did to the weights of linear layers, for `--explain`.

    Shares are of |dW|_F^2, within the largest (`top`) or smallest (`bottom`) singular directions of
    the base's W, on its output side (`left`) or its input side (`right`); 0 where dW is 0.

    Attributes:
        layers: Names of the changed linear layers; empty if the adapter changes no such weight, or
            none that can be told. Lists have one value for each of them.
        linear_layers: How many linear layers the base's text model has, except the head.
        directions: How many singular directions count at each end.
        knowledge_digest: Digest of the facts that `knowledge` was measured on.
        squared_norm: |dW|_F^2.
        top_left, top_right, bottom_left, bottom_right: Shares of it.
        knowledge: On knowledge that must be kept; None if there is no changed layer.
        task: On what was trained.
    """

    layers: list[str] = Field(default_factory=list)
    linear_layers: int = 0
    directions: int = 0
    knowledge_digest: str = ""
    squared_norm: list[float] = Field(default_factory=list)
    top_left: list[float] = Field(default_factory=list)
    top_right: list[float] = Field(default_factory=list)
    bottom_left: list[float] = Field(default_factory=list)
    bottom_right: list[float] = Field(default_factory=list)
    knowledge: MovedOutputs | None = None
    task: MovedOutputs | None = None


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
        adapter_path, save_failed: Where the adapter lies, below the results folder, and whether it
            could not be saved.
        warnings: Lines for people, shown below the table.
        notes: What parts recorded about themselves (kept facts, layers, conditioning).
        provenance: Git commit, package versions, device, dtype, threads, data digest.
        micro_batches: Parts into which each batch was divided, their gradients added up: 2 after
            memory had run out with whole batches.
        evaluated: What was learned by the tasks of `--evaluate`.
        stacked: How many cells were trained and asked together, this one included; each is charged
            an even share of the time, and the peak of memory is that of all of them.
        path: What was measured at checkpoints, by epoch; empty where paths are turned off.
        continued: The steps after which its training went on in another process, which had stopped.
        asks: What it asks; None in older records.
        losses_digest: Digest of the losses of all optimizer steps: trainings with the same one took
            the same steps, bit for bit, however often they were stopped. Empty in older records.
        change: What training did to the weights; None if that was not asked for.
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
    evaluated: list[Evaluated] = Field(default_factory=list)
    curve: list[Epoch] = Field(default_factory=list)
    phases: dict[PhaseName, Phase] = Field(default_factory=dict)
    parameters: int | None = None
    parameters_total: int | None = None
    flops: float | None = None
    init_difference: float | None = None
    identity: bool | None = None
    adapter_path: str = ""
    save_failed: bool = False
    warnings: list[str] = Field(default_factory=list)
    notes: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    micro_batches: int = 1
    stacked: int = 1
    path: list[Checkpoint] = Field(default_factory=list)
    continued: list[int] = Field(default_factory=list)
    asks: Asks | None = None
    losses_digest: str = ""
    change: WeightChange | None = None


class FactRow(Model):
    """One row of `facts/<cell_id>.parquet`.

    Columns with a default are there as long as something measures them: a file that lacks one
    counts as if it held None. Metrics beyond these are columns of their own, as numbers; those of
    one context are called `correct.few_shot`, `confusion.chat` and so on, those of one kind of
    consequence `portability.alias` and so on.

    Two prompts matter everywhere: with demonstrations, which tells what the base knows, and the
    trained prompt, which tells what was learned. Each is compared with its own before.

    Attributes:
        answer_before, answer_few_shot: With demonstrations, of the base and of the trained model.
        answer_before_trained, answer_after: On the trained prompt, of the base and of the trained
            model.
        answer_plain, answer_chat, answer_bare: Of the trained model in these contexts; None where
            it has no chat template, and for the last two while tuning.
        correct_before: Whether the base answered with demonstrations.
        correct_after: Whether the trained model answered on the trained prompt.
        knowledge: What the base knew: correct greedily, in at least one sample, or never.
        epochs_to_learn: The smallest number of epochs after which all tokens of the target are
            right under teacher forcing on the trained prompt, as the next pass of training meets
            them, and stay right; one more than all
            epochs if the fact is not right after the last; None for a fact that was not trained.
        learned_half: Whether that is at most half of the epochs.
        distance_before, distance_few_shot: Semantic distance of the answers with demonstrations
            to the target.
        distance_before_trained, distance_after: The same of the answers on the trained prompt;
            that of the base is None where its answer there is empty.
        movement: Distance between the answers with demonstrations before and after.
        nll_before, nll_after: Mean negative log-likelihood of the target's tokens on the trained
            prompt, in nats.
        generality: Share of paraphrases answered in the trained prompt; None without paraphrases.
        locality: Share of the neighbours answered before, with demonstrations, that still are;
            None without any.
        portability, portability_before: Share of the fact's consequences that were answered on the
            trained prompt, after training and by the base; None without any. Those of one kind are
            columns such as `portability.multi_hop`.
        all_hops: Share of its multi-hop questions of which every single question was answered.
        empty_before, empty_few_shot: The answer with demonstrations was empty, so its distance is
            1 by definition.
        empty_after: The answer on the trained prompt was empty.
        curve: Teacher-forced token accuracy on the trained prompt before training and after each
            epoch, `[epochs + 1]`; empty when the fact was not kept.
        old_answers: What an update replaces, empty where the fact is no update; then all below
            are None.
        old_before: The base gave one of the old ones, with demonstrations.
        old_after: The trained model gave one of the old ones, on the trained prompt.
        updated: The answer after training is a new one and no old one.
        old_nll_before, old_nll_after: As `nll_before` and `nll_after`, of the first old answer.
        prefers_new_after: The new answer is likelier per token than the old one.
        labels: All labels of a classification, None elsewhere.
        label_scores_before, label_scores: The probability of each of them among all, on the trained
            prompt, of the base and of the trained model, in their order.
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
    answer_before_trained: str
    answer_after: str
    answer_few_shot: str
    answer_plain: str
    answer_bare: str | None = None
    answer_chat: str | None = None
    correct_before: bool | None = None
    knowledge: KnowledgeCategory
    correct_after: bool | None = None
    epochs_to_learn: int | None = None
    learned_half: bool | None = None
    f1_before: float
    f1_after: float | None = None
    distance_before: float | None = None
    distance_few_shot: float | None = None
    distance_before_trained: float | None = None
    distance_after: float | None = None
    movement: float
    nll_before: float | None = None
    nll_after: float | None = None
    generality: float | None = None
    locality: float | None = None
    portability: float | None = None
    portability_before: float | None = None
    all_hops: float | None = None
    empty_before: bool
    empty_few_shot: bool
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
    labels: list[str] | None = None
    label_scores_before: list[float] | None = None
    label_scores: list[float] | None = None
