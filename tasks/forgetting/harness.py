r"""The forget part of a knowledge task as an lm-eval task: its configuration and its rows.

Facts with choices become multiple choice, scored by accuracy. Others are answered by greedy
generation and scored by exact match on normalised text. Both ask `Question: ...\nAnswer:` after the
task's demonstrations, which become lm-eval's few-shot samples. Nothing here imports lm-eval.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.forgetting.rows import process_results
from tasks.prompt import STOP, Prompt, character_budget, question_text
from tasks.scoring import exact_match

VERSION = 2.0
"""Of the exported tasks, as lm-eval reports it: raise it when rows or scoring change."""

Row = dict[str, Any]
"""One document, as lm-eval calls it."""


@dataclass(frozen=True, slots=True)
class HarnessSpec:
    """An lm-eval task without its data source.

    Attributes:
        name: Its name in lm-eval, made of letters, digits, `_`, `.` and `-`.
        config: Its configuration in lm-eval, except where the rows come from. All values are plain
            YAML but one: the function `process_results` of tasks that generate.
        rows: The documents of the split `test`.
    """

    name: str
    config: dict[str, Any]
    rows: tuple[Row, ...]


def harness_spec(name: str, facts: Sequence[Fact], prompt: Prompt) -> HarnessSpec:
    """Return facts as an lm-eval task.

    Args:
        name: The name of the knowledge task.
        facts: The facts to ask.
        prompt: The task's demonstrations.

    Raises:
        UsageError: There are no facts, or none of a fact's choices is an accepted answer.
    """
    if not facts:
        raise UsageError(f"forgetting task '{name}' has no facts: its forget part is empty")
    form = _multiple_choice if all(fact.choices for fact in facts) else _generation
    config, rows, samples = form(facts, prompt)
    safe = re.sub(r"[^\w.-]+", "_", name).strip("_")
    return HarnessSpec(safe, {"task": safe, **_common(samples), **config}, rows)


def _common(samples: list[Row]) -> dict[str, Any]:
    few_shot = {"fewshot_config": {"sampler": "first_n", "samples": samples}} if samples else {}
    return {
        "test_split": "test",
        "doc_to_text": question_text("{{question}}"),
        "target_delimiter": " ",
        "fewshot_delimiter": f"{STOP}\n",
        "num_fewshot": len(samples),
        **few_shot,
        "metadata": {"version": VERSION},
    }


def _multiple_choice(
    facts: Sequence[Fact], prompt: Prompt
) -> tuple[dict[str, Any], tuple[Row, ...], list[Row]]:
    config = {
        "output_type": "multiple_choice",
        "doc_to_choice": "choices",
        "doc_to_target": "target",
        "metric_list": [_metric("acc")],
    }
    samples = [{"question": q, "choices": [a], "target": 0} for q, a in prompt.demonstrations]
    return config, tuple(_choice_row(fact) for fact in facts), samples


def _choice_row(fact: Fact) -> Row:
    right = [choice for choice in fact.choices if exact_match(choice, fact.answers)]
    if not right:
        raise UsageError(
            f"fact '{fact.id}': none of its choices {list(fact.choices)} is an accepted answer "
            f"{list(fact.answers)}"
        )
    choices = [choice for choice in fact.choices if choice not in right[1:]]
    # With the stop, `1` is not a prefix of `11`, which otherwise could never be the likelier one.
    endings = [f"{choice}{STOP}" for choice in choices]
    return {"question": fact.question, "choices": endings, "target": choices.index(right[0])}


def _generation(
    facts: Sequence[Fact], prompt: Prompt
) -> tuple[dict[str, Any], tuple[Row, ...], list[Row]]:
    config = {
        "output_type": "generate_until",
        "doc_to_target": "answers",
        "process_results": process_results,
        "generation_kwargs": {
            "until": [STOP],
            "do_sample": False,
            "temperature": 0.0,
            "max_gen_toks": character_budget(max(len(fact.target) for fact in facts)),
        },
        "metric_list": [_metric("exact_match")],
    }
    rows = tuple({"question": f.question, "answers": list(f.answers)} for f in facts)
    samples = [{"question": q, "answers": [a]} for q, a in prompt.demonstrations]
    return config, rows, samples


def _metric(name: str) -> dict[str, Any]:
    return {"metric": name, "aggregation": "mean", "higher_is_better": True}
