"""What differs between two runs of lm-eval, task by task, on the documents that both have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.interchange.lm_eval_samples import Sample, SampleFile, read_sample_file, task_and_date
from bench.interchange.sample_pairs import PairBy, Pairs, pair_files
from bench.report.statistics.comparison import LEVEL, holm
from bench.report.statistics.paired_items import PairedItems, compare_items
from tasks.errors import UsageError, unknown_name

UNNAMED = "(no task in the file's name)"


@dataclass(frozen=True, slots=True)
class TaskComparison:
    """One metric of one task under one filter.

    Attributes:
        task, filter, metric: What is compared.
        items: How many documents have a score in both files.
        found: How they differ, B minus A.
        p_holm: The p-value after Holm's correction over all comparisons; None where there is none.
        changed: Documents whose scores differ, those that lost most first.
    """

    task: str
    filter: str
    metric: str
    items: int
    found: PairedItems
    p_holm: float | None = None
    changed: tuple[tuple[Sample, Sample], ...] = ()

    @property
    def name(self) -> str:
        """The metric, with its filter if that is one of several ways to read an answer."""
        return self.metric if self.filter == "none" else f"{self.metric} ({self.filter})"

    @property
    def differs(self) -> bool:
        """Whether the corrected test says so."""
        return self.p_holm is not None and self.p_holm <= LEVEL


@dataclass(frozen=True, slots=True)
class SamplesComparison:
    """Two runs side by side.

    Attributes:
        first, second: What was given, for people.
        rows: Task by task; metric by metric.
        notes: What was left out, and what is odd.
        problems: Tasks that could not be compared, and why.
    """

    first: Path
    second: Path
    rows: tuple[TaskComparison, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def compare_samples(
    first: Path,
    second: Path,
    by: PairBy = PairBy.DOC_HASH,
    metrics: Sequence[str] = (),
) -> SamplesComparison:
    """Compare two sample files, or two folders of them, task by task.

    Args:
        first: A file or folder, A.
        second: The other, B.
        by: What makes two samples the same document.
        metrics: Names of the metrics to compare; empty: all.

    Raises:
        UsageError: Nothing can be compared; the error says why.
    """
    ours, theirs = sample_files(first), sample_files(second)
    shared, notes = _shared_tasks(first, second, ours, theirs)
    rows: list[TaskComparison] = []
    problems: list[str] = []
    for task, (one, other) in shared.items():
        try:
            compared, said = _task(task, read_sample_file(one), read_sample_file(other), by)
        except UsageError as error:
            problems.append(str(error))
            continue
        rows += compared
        notes += [f"{task}: {line}" for line in said]
    if not rows:
        raise UsageError("; ".join(problems) or f"no metric in '{first}' has a number per document")
    rows = _chosen(rows, metrics)
    return SamplesComparison(first, second, tuple(_corrected(rows)), tuple(notes), tuple(problems))


def sample_files(path: Path) -> dict[str, Path]:
    """Return the sample files of a folder, or the one that is named, by their task.

    Of several runs of a task in one folder the last is taken.

    Raises:
        UsageError: There is none, or several folders in it have one of the same task.
    """
    if path.is_file():
        return {task_and_date(path)[0] or UNNAMED: path}
    if not path.is_dir():
        raise UsageError(f"'{path}' does not exist: give a samples_*.jsonl of lm-eval, or a folder")
    found: dict[str, Path] = {}
    names = sorted(path.rglob("samples_*.jsonl*"), key=lambda p: (task_and_date(p)[1], str(p)))
    for file in names:
        task = task_and_date(file)[0]
        if task and task in found and found[task].parent != file.parent:
            raise UsageError(
                f"'{path}' has samples of {task} in {found[task].parent.relative_to(path)} and in "
                f"{file.parent.relative_to(path)}: give one of these folders"
            )
        found.update({task: file} if task else {})
    if not found:
        raise UsageError(
            f"'{path}' has no samples_*.jsonl: lm-eval writes them with --log_samples and "
            "--output_path"
        )
    return dict(sorted(found.items()))


def _shared_tasks(
    first: Path, second: Path, ours: dict[str, Path], theirs: dict[str, Path]
) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    """Return the two files of each task that both have, and a note on each other task."""
    if len(ours) == len(theirs) == 1 and UNNAMED in (*ours, *theirs):
        [one], [other] = ours.values(), theirs.values()
        name = next((task for task in (*ours, *theirs) if task != UNNAMED), UNNAMED)
        return {name: (one, other)}, []
    shared = {task: (path, theirs[task]) for task, path in ours.items() if task in theirs}
    if not shared:
        raise UsageError(
            f"no task in common: '{first}' has {_some(ours)}, '{second}' has {_some(theirs)}"
        )
    alone = [(task, "A") for task in ours if task not in theirs]
    alone += [(task, "B") for task in theirs if task not in ours]
    return shared, [f"{task} is in {where} only and left out" for task, where in alone]


def _some(tasks: Iterable[str]) -> str:
    names = list(tasks)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")


def _task(
    task: str, first: SampleFile, second: SampleFile, by: PairBy
) -> tuple[list[TaskComparison], list[str]]:
    found, notes = pair_files(first, second, by)
    notes = [*first.notes, *second.notes, *notes]
    rows = []
    for pairs in found:
        names = dict.fromkeys(name for a, b in pairs.pairs for name in (*a.scores, *b.scores))
        for name in names:
            row = _metric(task, pairs, name)
            if row is None:
                notes.append(f"{name} has no number per document in both files and is left out")
                continue
            rows.append(row)
            lost = len(pairs.pairs) - row.items
            if lost:
                notes.append(f"{name} has no number for {lost} of {len(pairs.pairs)} documents")
    return rows, notes


def _metric(task: str, pairs: Pairs, name: str) -> TaskComparison | None:
    scored = [
        (b_score - a_score, a_score, b_score, a, b)
        for a, b in pairs.pairs
        if (a_score := a.scores.get(name)) is not None
        and (b_score := b.scores.get(name)) is not None
    ]
    if not scored:
        return None
    found = compare_items(
        np.array([one[1] for one in scored]), np.array([one[2] for one in scored])
    )
    changed = sorted((one for one in scored if one[0]), key=lambda one: one[0])
    return TaskComparison(
        task=task,
        filter=pairs.filter,
        metric=name,
        items=len(scored),
        found=found,
        changed=tuple((one[3], one[4]) for one in changed),
    )


def _chosen(rows: list[TaskComparison], metrics: Sequence[str]) -> list[TaskComparison]:
    known = {row.metric for row in rows}
    for name in metrics:
        if name not in known:
            raise unknown_name("metric", name, known)
    return [row for row in rows if not metrics or row.metric in metrics]


def _corrected(rows: Sequence[TaskComparison]) -> list[TaskComparison]:
    tested = [(place, row.found.p) for place, row in enumerate(rows) if row.found.p is not None]
    adjusted = holm(np.array([p for _, p in tested]))
    by_place = {place: p for (place, _), p in zip(tested, adjusted, strict=True)}
    return [replace(row, p_holm=by_place.get(place)) for place, row in enumerate(rows)]
