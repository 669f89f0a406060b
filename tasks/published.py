"""Data sets of edits in a published format, from a local copy or from the hub."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path
from typing import ClassVar

from tasks.base import DataAccess, KnowledgeTask, Shares
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.formats.known import format_of
from tasks.formats.published_facts import published_facts
from tasks.hub import SUFFIXES, hub_or_cache
from tasks.rows import Row, read_rows


@dataclass(frozen=True)
class PublishedTask(KnowledgeTask):
    """Base class of tasks whose files are in one of `tasks.formats`.

    A copy in `--data-dir` comes first, under the authors' name or that of `stem`; a facts file in
    that format may as well be given as a task by its path. All facts are trained: they are edits,
    which a base has no reason to know.

    Attributes:
        revision: The version on the hub, a commit or a branch; facts count by their content.
        dataset: Name of the data set on the hub.
        format_name: The name of its format.
    """

    dataset: ClassVar[str]
    format_name: ClassVar[str]

    revision: str = "main"  # type: ignore[misc]

    @property
    @abstractmethod
    def stem(self) -> str:
        """The name of a local copy, without suffix."""

    @property
    @abstractmethod
    def pattern(self) -> str:
        """What matches the authors' file, in their folders."""

    @property
    def shares(self) -> Shares:
        """All facts are trained."""
        return Shares(train=1.0, calibration=0.0, forget=0.0)

    def wanted(self, row: Row) -> bool:
        """Return whether a record is of this task; by default, all are."""
        return True

    def load(self, access: DataAccess) -> tuple[Fact, ...]:
        """Return the facts of the local copy, or else of the hub.

        Raises:
            UsageError: There is neither, or a record is not of the format.
        """
        found = self._local(access) or self._of_hub(access)
        first = next(read_rows(found[0]), None)
        form = format_of(first.values) if first else None
        if form is None or form.name != self.format_name:
            fields = ", ".join(first.values) if first else "none"
            raise UsageError(f"{found[0]}: holds no {self.format_name} records; fields: {fields}")
        return published_facts(found[0], form, self._rows(found))

    def _rows(self, paths: list[Path]) -> Iterator[Row]:
        rows = chain.from_iterable(read_rows(path, numbers_as_written=True) for path in paths)
        return (row for row in rows if self.wanted(row))

    def _local(self, access: DataAccess) -> list[Path]:
        """Return the local copy: one file, or all parts of one."""
        folder = access.data_dir
        if folder is None:
            return []
        if not folder.is_dir():
            raise UsageError(f"--data-dir '{folder}' is not a folder")
        inside = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)
        named = [path for path in inside if _folded(path.stem) == _folded(self.stem)]
        return named[:1] or [path for path in inside if fnmatch(path.name, self.pattern)]

    def _of_hub(self, access: DataAccess) -> list[Path]:
        from huggingface_hub import snapshot_download

        try:
            with hub_or_cache():
                folder = Path(
                    snapshot_download(
                        self.dataset,
                        repo_type="dataset",
                        revision=self.revision,
                        allow_patterns=[self.pattern, f"*/{self.pattern}"],
                    )
                )
        except Exception as error:  # Many layers raise here, none of them a common type.
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise self._nowhere(access, reason) from error
        names = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)
        found = [path for path in names if fnmatch(path.name, self.pattern)]
        if not found:
            raise self._nowhere(access, f"revision {self.revision} has no file {self.pattern}")
        return found

    def _nowhere(self, access: DataAccess, reason: str) -> UsageError:
        where = "give --data-dir DIR with" if access.data_dir is None else "--data-dir has no"
        place = (access.data_dir or Path("DIR")) / f"{self.stem}.json"
        return UsageError(
            f"task '{self.name}': cannot load {self.dataset} from the hub ({reason}); {where} "
            f"{place} or the authors' {self.pattern} ({', '.join(SUFFIXES)})"
        )


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.lower())
