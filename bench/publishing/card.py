"""The model card of a saved adapter: metadata for the hub, and a page for people.

The format is the hub's: a README.md that begins with YAML. huggingface_hub writes that part.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import failures
from bench.publishing.card_content import CardContent, card_content
from bench.publishing.card_page import PROJECT, page_text
from bench.publishing.folders import without_folders
from bench.publishing.measures import measured_cell
from bench.publishing.remarks import papers
from bench.publishing.saved import CARD, SavedAdapter
from bench.store import atomic
from bench.store.records import CellRecord, FactRow


def card_of_new(record: CellRecord, rows: Sequence[FactRow], results: Path) -> list[str]:
    """Write the card of a cell that has just ended, and return a warning if that fails."""
    saved = SavedAdapter(record, results / record.adapter_path)
    try:
        own = measured_cell(record, rows)
        write_card(card_content(saved, own, [own], record.adapter_path), saved.folder)
    except (Exception, failures.CellTimeoutError) as error:  # whatever a part refuses to tell
        if failures.disk_is_full(error):
            raise
        return [f"the adapter has no model card: {failures.first_line(error)}"]
    return []


def write_card(content: CardContent, folder: Path) -> Path:
    """Write a card into a folder and return its path."""
    return atomic.write(folder / CARD, card_text(content))


def card_text(content: CardContent) -> str:
    """Return a whole card: metadata, then the page."""
    metadata = metadata_of(content).to_yaml()
    text = f"---\n{metadata}\n---\n\n{page_text(content)}"
    return without_folders(text, content.saved.spec)


def metadata_of(content: CardContent) -> Any:
    """Return the metadata, a `huggingface_hub.ModelCardData`."""
    from huggingface_hub import ModelCardData

    base, lesson, method = content.base, content.lesson, content.saved.spec.method
    more: dict[str, Any] = {"recipe": method}  # which the hub does not know, and keeps
    if base.repository:
        more["base_model_relation"] = "finetune" if content.merged else "adapter"
    return ModelCardData(
        base_model=base.repository or None,
        library_name="transformers" if content.merged else "peft",
        pipeline_tag="text-generation",
        license=base.licence or None,
        language=None if lesson.own else "en",
        datasets=[lesson.dataset] if lesson.dataset else None,
        tags=_tags(content),
        model_name=content.title,
        eval_results=_results(content),
        **more,
    )


def _tags(content: CardContent) -> list[str]:
    kind = str(content.saved.config.get("peft_type", "")).lower()
    arxiv = (f"arxiv:{paper}" for paper in papers(content.saved.record))
    return [*dict.fromkeys(filter(None, [PROJECT, kind, *arxiv]))]


def _results(content: CardContent) -> list[Any]:
    """Return what was learned and forgotten as the hub's evaluation results."""
    from huggingface_hub import EvalResult

    lesson = content.lesson
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=lesson.dataset or lesson.name,
            dataset_name=lesson.name,
            metric_type=found.name,
            metric_name=found.label,
            metric_value=round(found.own.value, 6),
        )
        for found in (*content.found.learned, *content.found.forgotten)
    ]
