"""A set of problems of `tasks.problems`, run through lm-eval and scored by its own rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval.api.task import ConfigurableTask

from bench.forgetting.lm_eval_model import SharedPrefixLM
from bench.forgetting.lm_eval_task import ROWS_ON_CPU, HarnessTask
from bench.forgetting.scores import ItemScores
from bench.inference.batch_size import rows_at_once
from tasks.base import DataAccess
from tasks.errors import UsageError
from tasks.extraction import agrees
from tasks.fact import Fact, facts_digest
from tasks.problems.base import ProblemSet, problems_of

METRIC = "exact_match"
"""The recorded name of the share of problems whose result is right."""


@dataclass(frozen=True)
class ProblemTask(HarnessTask):
    """A set of problems, asked once without demonstrations.

    Attributes:
        longest: Most tokens of an answer; at most half of what the model reads, so that a small
            model has room for the problem.
    """

    longest: int = 256

    def _score(self, view: SharedPrefixLM) -> ItemScores:
        options = self.task.config.generation_kwargs
        options["max_gen_toks"] = min(self.longest, view.max_length // 2)
        # Rows of a batch were chosen for short answers; long ones leave states of each token.
        width = 2 * options["max_gen_toks"]
        rows = rows_at_once(view.model, on_cpu=ROWS_ON_CPU, width=width)
        view.batch_size_per_gpu = min(view.batch_size_per_gpu, rows)
        return super()._score(view)


def problem_task(name: str, access: DataAccess, limit: int | None) -> ProblemTask:
    """Build the first problems of a set; a file in `access.data_dir` is tried before the hub.

    Args:
        name: The name of the set: `gsm8k`.
        access: Where data may be read from.
        limit: The maximum number of problems; None: all.

    Raises:
        UsageError: There is no such set, or it has no data.
    """
    from datasets import Dataset

    asked = problems_of(name)
    problems = asked.load(access)[:limit]
    if not problems:
        raise UsageError(f"--evaluate {name}: its file has no problems")
    rows = [_row(problem) for problem in problems]
    config = {**_config(asked), "custom_dataset": lambda **_: {"test": Dataset.from_list(rows)}}
    content = (facts_digest(problems), asked.before, asked.after, *asked.stops, asked.longest)
    return ProblemTask(
        name,
        ConfigurableTask(config=config),
        content="problems " + " ".join(map(repr, content)),
        longest=asked.longest,
    )


def _row(problem: Fact) -> dict[str, Any]:
    return {
        "question": problem.question,
        "answers": list(problem.answers),
        "extract": problem.extract,
    }


def _config(asked: ProblemSet) -> dict[str, Any]:
    """Return the set as lm-eval configures a task, without its rows."""

    def prompt(row: dict[str, Any]) -> str:
        return f"{asked.before}{row['question']}{asked.after}"

    def scored(row: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
        said, accepted = results[0], row["answers"]
        return {METRIC: float(any(agrees(row["extract"], said, one) for one in accepted))}

    return {
        "task": asked.name,
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": prompt,
        "doc_to_target": "answers",
        "process_results": scored,
        "num_fewshot": 0,
        "generation_kwargs": {
            "until": list(asked.stops),
            "do_sample": False,
            "temperature": 0.0,
            "max_gen_toks": asked.longest,
        },
        "metric_list": [{"metric": METRIC, "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }
