"""Interference: what facts lose when they are trained together, after arXiv 2405.18292.

Every measured fact is trained alone and in groups of K, asked on the trained prompt and with
demonstrations, and compared with itself. The measures are this project's: interference =
mean(accuracy alone - accuracy joint); the difference of the targets' NLL; confusion, the share of
wrong answers that are the target of another fact of the group; straying, the share of answers that
went away from their target; epochs to learn; and shrink = mean of |h_joint - h_before| /
|h_alone - h_before|, where h is the state that predicts the first answer token.
"""

from __future__ import annotations

import time
from dataclasses import replace

from bench.cell.context import CellContext
from bench.models.device import choose_compute
from bench.models.provenance import provenance
from bench.progress.base import Progress
from bench.store import atomic
from bench.store.records import PhaseName, Status
from bench.studies.interference.compare import Results, compare, state_plane
from bench.studies.interference.figure import interference_figure
from bench.studies.interference.plan import StudyPlan, plan_study
from bench.studies.interference.store import TrainingStore
from bench.studies.interference.study import InterferenceOptions
from bench.studies.interference.table import (
    about,
    failure_lines,
    interference_table,
    kind_of_intervals,
    outcome_line,
    shown_columns,
    where,
)
from bench.studies.interference.training import run_training
from bench.studies.study_report import StudyReport
from tasks.errors import UsageError

KEPT = (Status.DONE, Status.DIVERGED)
"""Final statuses; a training that ended otherwise is tried again by the next call."""


def run_interference(options: InterferenceOptions, progress: Progress) -> StudyReport:
    """Run the missing trainings and return the report; each training is stored when it ends.

    Raises:
        UsageError: Before any training: wrong names, too few facts or an unwritable folder. After
            them: no fact could be compared, with the reason.
        KeyboardInterrupt: Ctrl-C; says how many trainings are finished. The next call resumes.
    """
    plan = plan_study(options)
    store = TrainingStore(options.folder)
    atomic.ensure_writable(store.folder, store.folder)
    results = _run_missing(plan, store, progress)
    pairs = compare(plan, results)
    if pairs.empty:
        reasons = (trained.record.reason for trained in results.values())
        raise UsageError(f"no fact could be compared: {next(filter(None, reasons), 'no facts')}")
    table = interference_table(plan, pairs, results)
    plane = state_plane(plan, results)
    note = f"Bars: {kind_of_intervals(table)}"
    figure = interference_figure(table, plane, where(plan), note)
    return StudyReport(
        name=options.name,
        title="Interference: what facts lose when they are trained together",
        about=about(plan, table, results),
        table=table,
        columns=shown_columns(table),
        figure=figure,
        command=options.command,
        failures=failure_lines(table),
    )


def _run_missing(plan: StudyPlan, store: TrainingStore, progress: Progress) -> Results:
    compute = choose_compute(plan.grid.device, plan.grid.dtype)
    bench = CellContext(plan.grid, compute, progress.note)
    found = {planned.spec.digest: store.read(planned.spec) for planned in plan.trainings}
    todo = [planned for planned in plan.trainings if found[planned.spec.digest] is None]
    progress.grid(len(todo), len(found) - len(todo))
    results = {digest: trained for digest, trained in found.items() if trained is not None}
    reused = len(results)
    ran_on = provenance(compute)
    try:
        for index, planned in enumerate(todo, start=1):
            progress.cell(index, len(todo), planned.label)
            base = bench.base(planned.cell)
            progress.phase(PhaseName.TRAIN, planned.spec.max_steps or None)
            began = time.perf_counter()
            trained = run_training(planned, base, bench.cache, progress.step)
            about = {"provenance": ran_on, "seconds": time.perf_counter() - began}
            trained = replace(trained, record=trained.record.model_copy(update=about))
            results[planned.spec.digest] = trained
            if trained.record.status in KEPT:
                store.write(trained)
            progress.end_cell(trained.record.status, outcome_line(trained))
    except KeyboardInterrupt:
        now = len(results) - reused
        trainings = "training" if len(results) == 1 else "trainings"
        raise KeyboardInterrupt(
            f"{len(results)} finished {trainings} ({now} in this run)"
        ) from None
    finally:
        progress.close()
    return results
