"""Question sets from the Hugging Face hub, or from a local copy."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from tasks.base import DataAccess, KnowledgeTask
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.file_rows import fact_of_row
from tasks.rows import Row, read_rows

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
TIMEOUT = 5.0
"""Seconds to wait for the hub to answer at all; its client would retry for half a minute."""

_SPLIT_NAMES = {"validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


@dataclass(frozen=True)
class HubTask(KnowledgeTask):
    """Base of tasks whose rows lie on the hub under a pinned revision.

    A local copy holds the data set's own fields, or those of a facts file, as .jsonl, .json, .csv
    or .parquet: in `--data-dir`, `<task>_<split>` or `<task>`, or anything named after the split
    in a folder `<task>`.

    Attributes:
        dataset, config, split: What is loaded from the hub.
    """

    dataset: ClassVar[str]
    config: ClassVar[str | None] = None
    split: ClassVar[str] = "validation"

    @abstractmethod
    def fact_of(self, row: Mapping[str, Any]) -> Fact:
        """Turn a row of the data set into a fact; KeyError or TypeError if it is not one."""

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Return the facts of the local copy, else of the hub; repeated questions once.

        Raises:
            UsageError: Neither is there; says which files were looked for.
        """
        local = local_copy(self.family, self.split, access.data_dir)
        if local is not None:
            return _once(self._checked(row) for row in read_rows(local))
        return _once(self.fact_of(row) for row in self._hub_rows(access))

    def _checked(self, row: Row) -> Fact:
        try:
            fact = self.fact_of(row.values)
        except (KeyError, TypeError):
            return fact_of_row(row)
        except ValueError as error:
            raise row.error(f"not a row of {self.dataset}: {error}") from error
        if not fact.question or not fact.answers:
            raise row.error("is empty", "answer" if fact.question else "question")
        return fact

    def _hub_rows(self, access: DataAccess) -> Iterable[Mapping[str, Any]]:
        import datasets

        try:
            with _offline_unless_reachable(self.dataset):
                return datasets.load_dataset(
                    self.dataset, self.config, split=self.split, revision=self.revision
                )
        except Exception as error:  # Many layers raise here, none of them a common type.
            raise self._nowhere(access, error) from error

    def _nowhere(self, access: DataAccess, error: Exception) -> UsageError:
        folder = access.data_dir or Path("DIR")
        names = candidates(self.family, self.split)
        where = "give --data-dir DIR with" if access.data_dir is None else "--data-dir has no"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return UsageError(
            f"task '{self.family}': {where} {folder / names[0]}.jsonl (or {', '.join(names[1:])}, "
            f"or a folder {self.family}/; {', '.join(SUFFIXES)}), and {self.dataset} cannot be "
            f"had from the hub: {reason}"
        )


def candidates(task: str, split: str) -> list[str]:
    """Return the file stems that are looked for, in this order."""
    return [*(f"{task}_{name}" for name in _SPLIT_NAMES[split]), task]


def local_copy(task: str, split: str, data_dir: Path | None) -> Path | None:
    """Return the local copy of a task's rows, or None.

    Raises:
        UsageError: `data_dir` is no folder.
    """
    if data_dir is None:
        return None
    if not data_dir.is_dir():
        raise UsageError(f"--data-dir '{data_dir}' is no folder")
    named = (data_dir / f"{stem}{end}" for stem in candidates(task, split) for end in SUFFIXES)
    inside = (
        path
        for name in _SPLIT_NAMES[split]
        for path in sorted((data_dir / task).glob(f"{name}*"))
        if path.suffix in SUFFIXES
    )
    return next((path for path in (*named, *inside) if path.is_file()), None)


def texts(value: Any) -> tuple[str, ...]:
    """Return the distinct non-empty texts of a list, of a JSON list as text, or of one text."""
    if isinstance(value, str):
        value = json.loads(value) if value.startswith("[") else [value]
    return tuple(dict.fromkeys(text.strip() for text in value if text.strip()))


def _once(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """Keep the first of facts with one question, and make ids unique and free of order."""
    by_question: dict[str, Fact] = {}
    for fact in facts:
        by_question.setdefault(fact.question, fact)
    return tuple(replace(fact, id=fact.id or fact.question) for fact in by_question.values())


@contextmanager
def _offline_unless_reachable(dataset: str) -> Iterator[None]:
    """Let `datasets` use its cache at once where the hub does not answer."""
    import datasets
    from huggingface_hub import HfApi

    was_offline = datasets.config.HF_HUB_OFFLINE
    try:
        HfApi().dataset_info(dataset, timeout=TIMEOUT)
    except Exception:
        datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = was_offline
