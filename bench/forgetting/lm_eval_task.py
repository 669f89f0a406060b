"""A task of lm-eval, run through its API and scored per item."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from torch import nn

from bench.forgetting.lm_eval_model import SharedPrefixLM
from bench.forgetting.preserved_state import undisturbed
from bench.forgetting.scores import ItemScores
from bench.models.loading import Base
from bench.store.cost_cache import Shared
from tasks.errors import UsageError
from tasks.fact import Fact, facts_digest
from tasks.forgetting.harness import harness_spec
from tasks.prompt import Prompt

ROWS_ON_CPU = 16
"""Requests per batch on a CPU; larger batches save nothing measurable."""

FEW_SHOT_SEED = 1234
"""lm-eval's default, so that scores equal those of its command line."""


@dataclass(frozen=True)
class HarnessTask:
    """A task of lm-eval, built once and run on any number of models.

    Attributes:
        name: The recorded name: `elements`, `lm_eval:piqa`.
        task: lm-eval's object.
        limit: The maximum number of documents; None: all.
        notes: Lines for the user about how it is measured.
        content: Identifies its items, so that a base's scores can be stored; empty if unknown.
    """

    name: str
    task: ConfigurableTask
    limit: int | None = None
    notes: tuple[str, ...] = ()
    content: str = ""

    def shared(self, base: Base) -> Shared[ItemScores] | None:
        """Return the base's scores, if its items are identified."""
        if not self.content:
            return None
        dtype = str(base.model.dtype)
        key = ("base score", base.name, base.revision, dtype, self.name, self.content)
        return Shared(key, lambda: self.score(base, base.model), ItemScores)

    def score(self, base: Base, model: nn.Module) -> ItemScores:
        """Score a model per document by the task's first metric and first filter."""
        [found] = self.score_together(base, model)
        return found

    def score_together(self, base: Base, model: nn.Module) -> list[ItemScores]:
        """Score each member of a stack; their requests are the same and are run together."""
        with undisturbed(model):
            views = SharedPrefixLM(base, ROWS_ON_CPU).of_members(model)
            return [self._score(view) for view in views]

    def _score(self, view: SharedPrefixLM) -> ItemScores:
        label = self.task.config.task
        self.task.set_fewshot_seed(FEW_SHOT_SEED)
        found = evaluate(view, {label: self.task}, limit=self.limit, bootstrap_iters=0)
        first = str(self.task._filters[0].name)
        samples = [sample for sample in found["samples"][label] if sample["filter"] == first]
        digest = hashlib.sha256()
        for sample in samples:
            for part in ("doc_hash", "prompt_hash", "target_hash"):
                digest.update(sample[part].encode())
        return ItemScores(
            task=self.name,
            metric=self.metric,
            items=tuple(float(sample[self.metric]) for sample in samples),
            floor=self._chance(),
            digest=digest.hexdigest(),
        )

    @property
    def metric(self) -> str:
        """The recorded metric: the task's first."""
        return str(next(iter(self.task.aggregation())))

    def _chance(self) -> float:
        """Return the accuracy of guessing; 0 if an answer must be generated."""
        if self.task.OUTPUT_TYPE != "multiple_choice" or not self.metric.startswith("acc"):
            return 0.0
        chances = []
        for _, document in self.task.doc_iterator(limit=self.limit):
            right = self.task.doc_to_target(document)
            count = len(right) if isinstance(right, list) else 1
            chances.append(count / len(self.task.doc_to_choice(document)))
        return fmean(chances)


def knowledge_harness_task(
    name: str, facts: Sequence[Fact], prompt: Prompt, notes: tuple[str, ...] = ()
) -> HarnessTask:
    """Turn facts into a forgetting task: multiple choice if all have choices, else generation.

    Args:
        name: The recorded name of the task.
        facts: The facts to ask about.
        prompt: Its demonstrations.
        notes: Lines for the user about how it is measured.

    Raises:
        UsageError: There are no facts, or choices lack the answer.
    """
    from datasets import Dataset

    spec = harness_spec(name, facts, prompt)
    rows = {"test": Dataset.from_list(list(spec.rows))}
    config = {**spec.config, "custom_dataset": lambda **_: rows}
    return HarnessTask(
        name,
        ConfigurableTask(config=config),
        notes=notes,
        content=f"facts {facts_digest(facts)} {prompt.digest}",
    )


def documents_digest(task: ConfigurableTask, limit: int | None) -> str:
    """Return a digest of the documents; empty if prompts show other documents, too."""
    if task.config.num_fewshot:
        return ""
    digest = hashlib.sha256()
    for _, document in task.doc_iterator(limit=limit):
        digest.update(json.dumps(document, sort_keys=True, default=str).encode())
    return f"documents {digest.hexdigest()}"


def check_runnable(name: str, task: ConfigurableTask) -> None:
    """Refuse a task unless its first metric is a score per item, with higher values better.

    Raises:
        UsageError: The metric is a perplexity, a corpus metric or the like.
    """
    metric = next(iter(task.aggregation()))
    mean = getattr(task.aggregation()[metric], "__name__", "") == "mean"
    if not mean or not task.higher_is_better().get(metric, True):
        raise UsageError(
            f"lm_eval:{name} is scored by '{metric}', which is not a mean of scores per item; "
            "forgetting needs such a mean, for example acc or exact_match"
        )
