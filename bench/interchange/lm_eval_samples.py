"""The sample files that lm-eval writes with `--log_samples`: one line per document and filter.

Written against lm-eval 0.4.13. A line holds `doc_id`, `doc`, `target`, `filter`, `metrics` (the
names of the metrics, each a key of its own), `doc_hash`, `prompt_hash` and `target_hash`; files are
called `samples_TASK_DATE.jsonl`. Older files have no hashes, or no `metrics`.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import UsageError

_NAME = re.compile(
    r"samples_(?P<task>.+?)(_(?P<date>\d{4}-\d\d-\d\dT[\d.:\-]+))?\.jsonl(\.gz)?", re.DOTALL
)
_GZIP = b"\x1f\x8b"
_OTHER_KEYS = frozenset(
    (
        *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter"),
        *("metrics", "doc_hash", "prompt_hash", "target_hash"),
    )
)
_NO_SCORE = "bypass"
"""A metric of lm-eval that stands for none."""

_LONGEST = 400
"""Characters kept of a text that is only shown."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one model did with one document.

    Attributes:
        doc_id: Its place in the data set.
        doc_hash, prompt_hash, target_hash: Digests; empty in older files.
        filter: Which part of the answer was scored: `none`, `strict-match`, ...
        scores: By metric its number; None where the metric has none for a single document.
        target, answer: What was wanted and what was said, shortened to be shown.
        asked: The document, shortened to be shown.
    """

    doc_id: int | None
    doc_hash: str
    prompt_hash: str
    target_hash: str
    filter: str
    scores: Mapping[str, float | None]
    target: str
    answer: str
    asked: str


@dataclass(frozen=True, slots=True)
class SampleFile:
    """A sample file.

    Attributes:
        path: Where it lies.
        task: By its name; empty if it is not named as lm-eval names them.
        samples: In the order of the lines.
        notes: What was left out, if anything.
    """

    path: Path
    task: str
    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()


def task_and_date(path: Path) -> tuple[str, str]:
    """Return what a file's name tells; each is empty where it tells nothing."""
    found = _NAME.fullmatch(path.name)
    return (found["task"], found["date"] or "") if found else ("", "")


def read_sample_file(path: Path) -> SampleFile:
    """Read a sample file, compressed with gzip or not.

    A last line that is cut off is left out, with a note.

    Raises:
        UsageError: The file is missing, empty or no sample file, or holds a document twice.
    """
    notes: list[str] = []
    samples = [_sample(values, path, number) for number, values in _rows(path, notes)]
    if not samples:
        raise UsageError(
            f"'{path}' holds no samples: give a file that lm-eval has finished writing"
        )
    _refuse_repeated(samples, path)
    return SampleFile(path, task_and_date(path)[0], tuple(samples), tuple(notes))


def _rows(path: Path, notes: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the content of each line; an incomplete end becomes a note."""
    cut_off = f"'{path}': its end is cut off; the last line was left out"
    broken = 0
    try:
        for number, line in _lines(path):
            if broken == 1:
                break
            if broken:
                raise UsageError(f"'{path}', line {broken}: damaged, not JSON")
            try:
                values = json.loads(line)
            except (ValueError, RecursionError):  # the latter: nested thousands deep
                broken = number
                continue
            if not isinstance(values, dict):
                raise UsageError(f"'{path}', line {number}: not a JSON object, as samples are")
            yield number, values
    except EOFError:
        notes.append(cut_off)
        return
    if broken == 1:
        raise UsageError(
            f"'{path}' is no sample file: its first line is not JSON. Give a samples_*.jsonl "
            "that lm-eval writes with --log_samples"
        )
    if broken:
        notes.append(cut_off)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers from 1.

    Raises:
        UsageError: The file cannot be read.
        EOFError: It is compressed and cut off.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(len(_GZIP)) == _GZIP
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            # Not `splitlines`: answers may hold other line separators.
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.decode("utf-8", errors="replace")
    except EOFError:
        raise
    except OSError as error:
        raise UsageError(f"cannot read '{path}': {error.strerror or error}") from error
    except zlib.error as error:
        raise UsageError(f"cannot read '{path}': its compressed data is damaged") from error


def _sample(values: dict[str, Any], path: Path, number: int) -> Sample:
    names = values.get("metrics")
    if not isinstance(names, list):
        names = [key for key in values if key not in _OTHER_KEYS]
    if "doc_id" not in values and "doc_hash" not in values:
        what = "the results of a run" if "results" in values else "something else"
        raise UsageError(
            f"'{path}', line {number}: no sample but {what}: it has neither doc_id nor doc_hash. "
            "Give a samples_*.jsonl that lm-eval writes with --log_samples"
        )
    doc_id = values.get("doc_id")
    return Sample(
        doc_id=doc_id if isinstance(doc_id, int) else None,
        doc_hash=str(values.get("doc_hash") or ""),
        prompt_hash=str(values.get("prompt_hash") or ""),
        target_hash=str(values.get("target_hash") or ""),
        filter=str(values.get("filter") or "none"),
        scores={
            name: _number(values.get(name))
            for name in names
            if isinstance(name, str) and name != _NO_SCORE
        },
        target=_shown(_choice(values, _index(values.get("target")), values.get("target"))),
        answer=_shown(_choice(values, _likeliest(values), values.get("filtered_resps"))),
        asked=_shown(values.get("doc")),
    )


def _number(value: Any) -> float | None:
    """Return a metric's number; None for what is put together only over all documents."""
    if not isinstance(value, bool | int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON's integers have no bound
        return None
    return number if math.isfinite(number) else None


def _index(target: Any) -> int | None:
    return int(target) if isinstance(target, int | str) and str(target).isdecimal() else None


def _likeliest(values: dict[str, Any]) -> int | None:
    """Return the place of the likeliest choice; None unless the answers are likelihoods."""
    try:
        scores = [float(one[0]) for one in values["filtered_resps"] if not isinstance(one, str)]
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return scores.index(max(scores)) if len(scores) > 1 else None


def _choice(values: dict[str, Any], place: int | None, otherwise: Any) -> Any:
    """Return the text of a document's choice, where it has choices."""
    document = values.get("doc")
    choices = document.get("choices") if isinstance(document, dict) else None
    texts = choices.get("text") if isinstance(choices, dict) else choices
    if place is None or not isinstance(texts, list) or not place < len(texts):
        return otherwise
    return texts[place]


def _shown(value: Any) -> str:
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and isinstance(value.get("question"), str):
        value = value["question"]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _refuse_repeated(samples: list[Sample], path: Path) -> None:
    """Refuse a file to which two runs were written: documents would count twice."""
    seen: set[tuple[int, str, str]] = set()
    for sample in samples:
        if sample.doc_id is None:
            continue
        key = (sample.doc_id, sample.doc_hash, sample.filter)
        if key in seen:
            raise UsageError(
                f"'{path}' holds document {sample.doc_id} twice under the filter "
                f"'{sample.filter}': two runs were written into it; split it, one file for each"
            )
        seen.add(key)
