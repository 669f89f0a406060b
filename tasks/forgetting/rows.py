"""The Python code of an exported task: reading its rows and scoring an answer.

An exported task contains the source of `tasks.scoring` followed by that of this file, so a cell and
lm-eval's command line run the same code. This is why imports stand inside functions.
"""

from __future__ import annotations

from typing import Any

from tasks.scoring import exact_match


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Return the score of one generated answer, in the form that lm-eval expects."""
    return {"exact_match": float(exact_match(results[0], doc["answers"]))}


def dataset(**metadata: Any) -> dict[str, Any]:
    """Return the rows stored beside this file, so that its folder can be moved anywhere."""
    import json
    from pathlib import Path

    from datasets import Dataset

    lines = Path(__file__).with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
    return {"test": Dataset.from_list([json.loads(line) for line in lines])}
