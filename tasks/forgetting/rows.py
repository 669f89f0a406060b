"""What an exported task carries as Python: reading its rows and scoring an answer.

An exported task is this file's source after that of `tasks.scoring`, so that what a cell runs
and what lm-eval's command line runs are the same code. Hence the imports inside functions.
"""

from __future__ import annotations

from typing import Any

from tasks.scoring import exact_match


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Score one generated answer against every accepted one, as lm-eval calls it."""
    return {"exact_match": float(exact_match(results[0], doc["answers"]))}


def dataset(**metadata: Any) -> dict[str, Any]:
    """Read the rows that lie beside this file: its folder works from anywhere and may move."""
    import json
    from pathlib import Path

    from datasets import Dataset

    lines = Path(__file__).with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
    return {"test": Dataset.from_list([json.loads(line) for line in lines])}
