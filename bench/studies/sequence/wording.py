"""The sentences beside the tables of the study of sequences."""

from __future__ import annotations

import pandas as pd

from bench.report.statistics.intervals import FEWEST_ITEMS
from bench.store.records import Status
from bench.studies.estimates import kind_of_intervals
from bench.studies.sequence.plan import StudyPlan
from bench.studies.sequence.store import Trained
from bench.studies.sequence.table import Results
from bench.studies.trainings import named, seeds_text


def where(plan: StudyPlan) -> str:
    """Name the model, the task, the facts, the learning rates and the seeds."""
    spec = plan.sequences[0].spec.cell
    cells = [planned.spec.cell for planned in plan.sequences]
    rates = dict.fromkeys(f"{cell.method} {cell.learning_rate:g}" for cell in cells)
    return (
        f"{named(spec.model)} · {named(spec.task)}: {spec.facts} facts in {len(plan.parts)} parts, "
        f"{spec.epochs} {'epoch' if spec.epochs == 1 else 'epochs'} each, "
        f"learning rate {', '.join(rates)}, {seeds_text(plan.seeds)}"
    )


def about(plan: StudyPlan, table: pd.DataFrame) -> tuple[str, ...]:
    """Say how to read the tables and the picture."""
    spec = plan.sequences[0].spec.cell
    sizes = sorted({len(part) for part in plan.parts})
    return (
        f"{where(plan)}, batch size {spec.batch_size}.",
        f"The facts are divided into {len(plan.parts)} parts of {' or '.join(map(str, sizes))}, "
        "the same for every method and seed. One adapter is trained on part 1, then on part 2, and "
        "so on, each time with the whole schedule and a new AdamW. After each part all facts are "
        "asked, those of later parts too.",
        "Right after own part: the mean of the matrix's diagonal. Right after the last part, the "
        "retention: the mean of its last row. Backward transfer: last row minus diagonal, without "
        "the last part; below 0 means that later parts cost what was learned. Forward transfer: "
        "accuracy on a part directly before it is trained, minus that before any training, without "
        "the first part; on the trained prompt it may show no more than the form of an answer.",
        "Generality (other wordings of the question), locality (neighbours that the base answered "
        "and that still are) and drift (mean KL to the base on its own texts) are those after the "
        "last part.",
        "Transfer is defined as in arXiv 1706.08840; all means are over facts.",
        f"Brackets and bands: {kind_of_intervals(table)}. '-' means that fewer than "
        f"{FEWEST_ITEMS} facts count.",
    )


def outcome_line(trained: Trained) -> str:
    """Say in one line how a sequence ended."""
    if not trained.outcomes:
        return trained.record.reason
    parts = trained.record.spec.parts
    last = [said.right for said in trained.outcomes if said.stage == parts]
    then = sum(said.right for said in trained.outcomes if said.stage == said.part)
    return f"{then} of {len(last)} facts right after their part, {sum(last)} after the last"


def failure_lines(plan: StudyPlan, results: Results) -> tuple[str, ...]:
    """Return one line for each sequence that failed."""
    found = [(planned, results[planned.spec.digest].record) for planned in plan.sequences]
    return tuple(
        f"{planned.spec.cell.method}, seed {planned.spec.cell.seed}: {record.status}: "
        f"{record.reason}; it is missing"
        for planned, record in found
        if record.status is not Status.DONE
    )
