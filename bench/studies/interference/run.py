"""Interference: what facts lose when they are trained together, after arXiv 2405.18292.

Every measured fact is trained alone and in groups of K, asked on the trained prompt and with
demonstrations, and compared with itself. The measures are this project's: interference =
mean(accuracy alone - accuracy joint); the difference of the targets' NLL; confusion, the share of
wrong answers that are the target of another fact of the group; straying, the share of answers that
went away from their target; epochs to learn; and shrink = mean of |h_joint - h_before| /
|h_alone - h_before|, where h is the state that predicts the first answer token.
"""

from __future__ import annotations

from bench.cell.context import CellContext
from bench.models.loading import Base
from bench.progress.base import Progress
from bench.store.records import PhaseName
from bench.studies.interference.compare import compare, state_plane
from bench.studies.interference.figure import interference_figure
from bench.studies.interference.plan import PlannedTraining, plan_study
from bench.studies.interference.store import Trained, TrainingStore
from bench.studies.interference.study import InterferenceOptions
from bench.studies.interference.table import (
    about,
    failure_lines,
    interference_table,
    intervals_of,
    outcome_line,
    shown_columns,
    where,
)
from bench.studies.interference.training import run_training
from bench.studies.study_report import StudyReport
from bench.studies.trainings import first_reason, run_missing
from tasks.errors import UsageError


def run_interference(options: InterferenceOptions, progress: Progress) -> StudyReport:
    """Run the missing trainings and return the report; each training is stored when it ends.

    Raises:
        UsageError: Before any training: wrong names, too few facts or an unwritable folder. After
            them: no fact could be compared, with the reason.
        KeyboardInterrupt: Ctrl-C; says how many trainings are finished. The next call resumes.
    """
    plan = plan_study(options)
    store = TrainingStore(options.folder)
    results = run_missing(plan.trainings, plan.grid, store, _run, outcome_line, progress)
    pairs = compare(plan, results)
    if pairs.empty:
        raise UsageError(f"no fact could be compared: {first_reason(results, 'no facts')}")
    table = interference_table(plan, pairs, results)
    plane = state_plane(plan, results)
    note = f"Bars: {intervals_of(table)}"
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


def _run(planned: PlannedTraining, base: Base, bench: CellContext, progress: Progress) -> Trained:
    progress.phase(PhaseName.TRAIN, planned.spec.max_steps or None)
    return run_training(planned, base, bench.cache, progress.step)
