"""Interference: what facts lose when they are trained together (the phenomenon: 2405.18292).

Every measured fact is trained alone and in groups of K, and the same facts are compared pair by
pair. The measures are ours: interference = mean(accuracy alone - accuracy joint); shrink = mean
of |h_joint - h_before| / |h_alone - h_before| over the states h that predict the first answer
token; the difference of the targets' likelihoods.
"""

from __future__ import annotations

import time
from typing import Any

from bench.cell.context import CellContext
from bench.models.device import choose_compute
from bench.models.provenance import provenance
from bench.progress.base import Progress
from bench.store.records import PhaseName, Status
from bench.studies.interference.compare import Results, compare, state_plane
from bench.studies.interference.figure import interference_figure
from bench.studies.interference.plan import StudyPlan, plan_study
from bench.studies.interference.store import Trained, TrainingStore
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
"""What a training can end in for good; anything else is tried again by the next call."""


def run_interference(options: InterferenceOptions, progress: Progress) -> StudyReport:
    """Run the trainings that are missing, and compare; each is kept as soon as it is finished.

    Raises:
        UsageError: Wrong names, too few facts, an unwritable folder: before any training; or no
            fact that could be compared, with the reason.
        KeyboardInterrupt: Ctrl-C; says how many trainings are kept. The next call goes on.
    """
    plan = plan_study(options)
    store = TrainingStore(options.folder)
    store.ensure_writable()
    results = _run_missing(plan, store, progress)
    pairs = compare(plan, results)
    if pairs.empty:
        raise UsageError(f"no fact could be compared: {_first_reason(results)}")
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
            seconds = time.perf_counter() - began
            results[planned.spec.digest] = _kept(trained, store, ran_on, seconds)
            progress.end_cell(trained.record.status, outcome_line(trained))
    except KeyboardInterrupt:
        now = len(results) - reused
        raise KeyboardInterrupt(
            f"all of {len(results)} finished trainings, {now} of this call,"
        ) from None
    finally:
        progress.close()
    return results


def _kept(
    trained: Trained, store: TrainingStore, ran_on: dict[str, Any], seconds: float
) -> Trained:
    """Store a training that ended for good, with what it ran on and how long."""
    record = trained.record.model_copy(update={"provenance": ran_on, "seconds": seconds})
    whole = Trained(record, trained.outcomes)
    if record.status in KEPT:
        store.write(whole)
    return whole


def _first_reason(results: Results) -> str:
    return next((t.record.reason for t in results.values() if t.record.reason), "no facts")
