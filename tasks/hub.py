"""Question sets from the Hugging Face hub, or from a local copy."""

from __future__ import annotations

import json
import logging
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from tasks.base import DataAccess, KnowledgeTask
from tasks.errors import UnavailableError, UsageError
from tasks.fact import Fact
from tasks.file_rows import fact_of_row
from tasks.leakage import without_leaks
from tasks.rows import Row, read_rows

_LOG = logging.getLogger(__name__)

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
TIMEOUT = 5.0
"""Seconds to wait for the hub to answer; its own client would retry for half a minute."""

_SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
}
"""Words for a split in file names; other splits go by their own name."""


@dataclass(frozen=True)
class HubTask(KnowledgeTask):
    """Base class of tasks whose data set is on the hub, at a pinned revision.

    A local copy in `--data-dir` comes first: a .jsonl, .json, .csv or .parquet file named
    `<task>_<split>` or `<task>`, or any file named after the split in a folder `<task>`. It has the
    data set's own fields or those of a facts file.

    Attributes:
        dataset: Name of the data set on the hub.
        config: Its configuration, if it has several.
        split: The split to load.
    """

    dataset: ClassVar[str]
    config: ClassVar[str | None] = None
    split: ClassVar[str] = "validation"

    @abstractmethod
    def fact_of(self, row: Mapping[str, Any]) -> Fact:
        """Return the fact in a row of the data set.

        Raises:
            KeyError: The row lacks a field, so it may be a row of a facts file.
            TypeError: A field has another type, for the same reason.
        """

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Return the facts of the local copy, or else of the hub.

        A repeated question comes once, and nothing is asked that another fact gives away.

        Raises:
            UsageError: There is neither; the text names the files that were looked for.
        """
        local = local_copy([self.family], self.split, access.data_dir)
        if local is None and access.data_dir is not None:
            whole = (access.data_dir / f"{self.family}{suffix}" for suffix in SUFFIXES)
            local = next(filter(Path.is_file, whole), None)
        if local is not None:
            return self._cleaned(self._checked(row) for row in read_rows(local))
        return self._cleaned(self.fact_of(row) for row in self._hub_rows(access))

    def _cleaned(self, facts: Iterable[Fact]) -> tuple[Fact, ...]:
        """Leave out what is asked elsewhere, and use the question as id where there is none."""
        unleaked = without_leaks(facts)
        if unleaked.note:
            _LOG.warning("%s: %s", self.family, unleaked.note)
        return tuple(replace(fact, id=fact.id or fact.question) for fact in unleaked.facts)

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
            with hub_or_cache():
                return datasets.load_dataset(
                    self.dataset, self.config, split=self.split, revision=self.revision
                )
        except Exception as error:  # Many layers raise here, none of them a common type.
            raise self._nowhere(access, error) from error

    def _nowhere(self, access: DataAccess, error: Exception) -> UsageError:
        folder = access.data_dir or Path("DIR")
        names = [*candidates([self.family], self.split), self.family]
        where = "give --data-dir DIR with" if access.data_dir is None else "--data-dir has no"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return UnavailableError(
            f"task '{self.family}': cannot load {self.dataset} from the hub ({reason}); {where} "
            f"{folder / names[0]}.jsonl (or {', '.join(names[1:])}, or a folder {self.family}/; "
            f"{', '.join(SUFFIXES)})"
        )


def candidates(names: Sequence[str], split: str) -> list[str]:
    """Return the file names to look for, without suffix, in order: `piqa_validation`, ..."""
    return [f"{name}_{word}" for name in names for word in _SPLIT_NAMES.get(split, (split,))]


def local_copy(
    names: Sequence[str],
    split: str,
    data_dir: Path | None,
    suffixes: Sequence[str] = SUFFIXES,
) -> Path | None:
    """Return the local copy of one split of a data set, or None if there is none.

    Case and punctuation do not matter: `ARC-Easy-Test.jsonl` is `arc_easy_test`. The name may also
    be that of a folder: `piqa/valid.jsonl`, `popqa/test-00000-of-00001.parquet`.

    Args:
        names: Names of the data set, the most likely first.
        split: The split as the hub names it; other common words for it are tried too.
        data_dir: The folder to search, including one level below it.
        suffixes: Accepted file suffixes, the best first.

    Raises:
        UsageError: `data_dir` is not a folder.
    """
    if data_dir is None:
        return None
    if not data_dir.is_dir():
        raise UsageError(f"--data-dir '{data_dir}' is not a folder")
    inside = [*data_dir.glob("*"), *data_dir.glob("*/*")]
    files = [path for path in inside if path.suffix in suffixes and path.is_file()]
    files.sort(key=lambda path: (suffixes.index(path.suffix), path))
    for name in map(_folded, candidates(names, split)):
        for path in files:
            in_folder = _folded(f"{path.parent.name}_{path.stem}").startswith(name)
            if _folded(path.stem) == name or (in_folder and path.parent != data_dir):
                return path
    return None


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def texts(value: Any) -> tuple[str, ...]:
    """Return the distinct non-empty texts in a list, a JSON list written as text, or one text."""
    if isinstance(value, str):
        value = json.loads(value) if value.startswith("[") else [value]
    return tuple(dict.fromkeys(text.strip() for text in value if text.strip()))


def hub_answers() -> bool:
    """Return whether the hub may be used and answers, through the configured proxy if any."""
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            return True
    except urllib.error.HTTPError:
        return True  # a mirror may refuse this very request, but it is there
    except (OSError, ValueError):
        return False


@contextmanager
def hub_or_cache() -> Iterator[None]:
    """Let data sets load from the cache without delay if the hub does not answer."""
    import datasets
    from huggingface_hub import constants

    switches: tuple[Any, ...] = (constants, datasets.config)
    before = [module.HF_HUB_OFFLINE for module in switches]
    offline = not hub_answers()
    try:
        for module in switches:
            module.HF_HUB_OFFLINE = module.HF_HUB_OFFLINE or offline
        yield
    finally:
        for module, value in zip(switches, before, strict=True):
            module.HF_HUB_OFFLINE = value
