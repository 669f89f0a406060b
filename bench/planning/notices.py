"""Lines shown before a run and beside its numbers: which facts are used, what may mislead."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bench.optimizations import Optimization
from bench.planning.planned_cell import PlannedCell
from bench.planning.task_data import TaskData
from bench.planning.tuning import shown
from bench.store.records import CellRecord, CellSpec
from tasks.documents.texts import TextTask

if TYPE_CHECKING:  # it imports torch, and a wrong name is answered without
    from bench.inference.encoding import Example

_SHORTCUTS = {
    Optimization.FUSED_PROJECTIONS: "fused projections",
    Optimization.FROZEN_PREFIX: "stored outputs of frozen layers",
    Optimization.TOKEN_TREE: "shared beginnings in training",
    Optimization.SHARED_PROMPT: "shared prompts",
}
"""Optimizations that a model may not allow, in the words of the guide."""

ENOUGH_STEPS = 40
"""With fewer optimizer steps, most facts stay unlearned at any default learning rate."""


ENOUGH_OF_A_LABEL = 20
"""With fewer held-out subjects of a label, intervals of averages over labels may be too narrow."""


def stage_notes(cells: Sequence[PlannedCell]) -> list[str]:
    """Describe a stage of first steps or of a tuned grid; for its second one, what was chosen."""
    if cells and cells[0].is_first:
        spec = cells[0].spec
        count = "once" if len(cells) == 1 else "once for each model and seed"
        return [f"first step, {count}: training {spec.task} with {spec.method}"]
    if not cells or cells[0].spec.tuned is None:
        return []
    if cells[0].spec.is_candidate:
        seeds = sorted({cell.spec.seed for cell in cells})
        return [
            "stage 1 of 2: training and scoring every candidate on the tuning facts, with "
            f"{'seed' if len(seeds) == 1 else 'seeds'} {' and '.join(map(str, seeds))}"
        ]
    chosen: dict[str, str] = {}
    for cell in cells:
        spec, over = cell.spec, cell.spec.tuned.over if cell.spec.tuned else ()
        choice = shown(spec, over) if cell.chosen else cell.why
        chosen[f"{spec.asked} · {spec.model} · {spec.task}"] = choice
    lines = [f"{place}: {choice}" for place, choice in chosen.items() if choice]
    return ["stage 2 of 2: training the best candidates on the reporting facts", *lines]


def opening_notes(cells: Sequence[PlannedCell], todo: Sequence[PlannedCell]) -> list[str]:
    """Write how many facts of each task are used, and warn if there are too few steps."""
    used: dict[str, None] = {}
    for cell in cells:
        spec, available = cell.spec, cell.data.available
        noun = "examples" if spec.lessons else "facts"
        kind = f"{spec.fact_set} {noun}" if spec.fact_set else noun
        if isinstance(cell.data.task, TextTask):
            used |= dict.fromkeys(_texts_used(cell))
        elif spec.trained < available:
            # A tuning set has more facts than --limit where the task has them.
            why = "" if spec.is_candidate else " (--limit)"
            used[f"{spec.task}: using {spec.trained} of {available} {kind}{why}"] = None
    remarks = {
        note: None
        for cell in todo
        for note in (
            *unasked(cell),
            *few_of_a_label(cell.data),
            *few_steps(cell.spec, cell.data.rows),
        )
    }
    return [*used, *remarks]


def _texts_used(cell: PlannedCell) -> list[str]:
    """Write how many passages are trained, and how many questions are asked about them."""
    data, spec = cell.data, cell.spec
    texts = sum(lesson.is_text for lesson in data.lessons)
    tuned = f" of the {spec.fact_set} set" if spec.fact_set else ""
    trained = f"training {texts} passages, " if texts else ""
    if data.asked_in_training:
        trained += "and training and " if texts else "training and "
    return [f"{spec.task}: {trained}asking {spec.facts} questions{tuned}"] if spec.facts else []


def several_prompts(spec: CellSpec) -> list[str]:
    """Say where robustness is measured in contexts that training did see."""
    prompt = spec.train_prompt
    seen = " and ".join(context for context in prompt.trained if context is not prompt.asked)
    if not seen:
        return []
    return [
        f"{spec.method}: training also saw the contexts {seen}, so robustness in them is not about "
        "contexts that are new to the model"
    ]


def tokens_read(cell: PlannedCell, contexts: Sequence[Sequence[Example]]) -> list[str]:
    """Say how much a training on texts, or on questions about them, read: epochs differ in size.

    Args:
        cell: The cell.
        contexts: What an epoch trains, in each context; several take turns.
    """
    data, spec = cell.data, cell.spec
    if not isinstance(data.task, TextTask):
        return []
    rows = [example for context in contexts for example in context]
    tokens = sum(len(row.tokens) for row in rows) * spec.epochs // len(contexts)
    predicted = sum(len(row.tokens) - row.start for row in rows) * spec.epochs // len(contexts)
    kinds = {
        "windows of texts": len(contexts[0]) - data.asked_in_training,
        "questions": data.asked_in_training,
    }
    trained = " and ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    said = [
        f"{spec.task}: {trained} in {spec.epochs} epochs made {tokens:,} tokens, of which "
        f"{predicted:,} were predicted"
    ]
    return said + unasked(cell)


def unasked(cell: PlannedCell) -> list[str]:
    """Say that nothing is asked about a text; skills may be asked by `--evaluate` alone."""
    if cell.data.facts or not any(lesson.is_text for lesson in cell.data.lessons):
        return []
    return [
        f"{cell.spec.task}: nothing is asked about it, so only what is forgotten is measured; "
        "--questions FILE asks"
    ]


def few_of_a_label(data: TaskData) -> list[str]:
    """Warn if a classification trains or asks too few texts of a label.

    Without a held-out text of some label no average over labels has a value. How often intervals
    hold the truth is simulated in `tests.bench.report.statistics.label_simulation`.
    """
    if not data.task.form.labels or not data.facts:
        return []
    labels = data.facts[0].choices
    trained = {fact.target for fact in data.trained}
    asked = Counter(label for label, _ in {(fact.target, fact.unit) for fact in data.facts})
    said = []
    if untrained := _quoted(label for label in labels if label not in trained):
        said.append(f"no text with the label {untrained} is trained; raise --limit")
    if absent := _quoted(label for label in labels if not asked[label]):
        said.append(
            f"no held-out text has the label {absent}, so AUROC and other averages over labels "
            "have no value"
        )
    few = [label for label in labels if asked[label] < ENOUGH_OF_A_LABEL]
    if few and not absent:
        counts = ", ".join(f"{label} {asked[label]}" for label in few)
        said.append(
            "intervals of AUROC and other averages over labels may be too narrow where a label has "
            f"fewer than {ENOUGH_OF_A_LABEL} held-out texts: {counts}"
        )
    return [f"{data.name}: {line}" for line in said]


def _quoted(labels: Iterable[str]) -> str:
    return " or ".join(f"'{label}'" for label in labels)


def few_steps(spec: CellSpec, rows: int) -> list[str]:
    """Warn if a cell that trains so many rows an epoch has too few steps to learn its facts."""
    batches = math.ceil(rows / spec.batch_size)
    steps = math.ceil(batches / spec.accumulation) * spec.epochs
    if steps >= ENOUGH_STEPS:
        return []
    return [
        f"{spec.task}: {'1 optimizer step is' if steps == 1 else f'{steps} optimizer steps are'} "
        f"too few to learn {'much' if spec.lessons else 'most facts'}; "
        "raise --epochs or lower --batch-size"
    ]


def halved_batches(record: CellRecord) -> list[str]:
    """Warn if a cell's batches did not fit into memory and were split."""
    if record.micro_batches == 1:
        return []
    return [
        f"{record.spec.method}: memory ran out with batches of {record.spec.batch_size} facts; "
        f"each was split into {record.micro_batches} micro-batches, whose gradients were summed"
    ]


def continued_training(record: CellRecord) -> list[str]:
    """Say that a training was stopped and went on, with what its processes took together."""
    if not record.continued:
        return []
    steps = " and ".join(map(str, record.continued))
    return [
        f"{record.spec.method}: its training was stopped and went on after step {steps}; what was "
        "trained before counts in its times, what was lost does not"
    ]


def shared_costs(record: CellRecord) -> list[str]:
    """Say whose costs a cell's are if it was trained together with others."""
    if record.stacked == 1:
        return []
    return [
        f"trained and asked together with {record.stacked - 1} other "
        f"{'cell' if record.stacked == 2 else 'cells'}: its times are an even share of what all of "
        "them took, and it has no peak of memory of its own; --stack 1 measures what a method costs"
    ]


def without_shortcuts(lacking: Sequence[Optimization]) -> list[str]:
    """Say which optimizations a model does not allow, so that its cells take longer."""
    names = [_SHORTCUTS[one] for one in lacking if one in _SHORTCUTS]
    if not names:
        return []
    told = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return [f"the model runs without {told}: slower, not with other numbers"]
