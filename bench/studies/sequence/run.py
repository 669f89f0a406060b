"""Sequence: what facts lose to the updates that follow.

The parts of a task are trained one after another with one adapter, and every part is asked after
each, as sequences of edits are judged in the literature (arXiv 2511.05852, 2509.22072).
"""

from __future__ import annotations

from bench.progress.base import Progress
from bench.studies.estimates import kind_of_intervals
from bench.studies.sequence.figure import sequence_figure
from bench.studies.sequence.plan import plan_study
from bench.studies.sequence.store import SequenceStore
from bench.studies.sequence.study import SequenceOptions
from bench.studies.sequence.table import matrix_table, outcomes_of, sequence_table, shown_columns
from bench.studies.sequence.training import run_training
from bench.studies.sequence.wording import about, failure_lines, outcome_line, where
from bench.studies.study_report import StudyReport
from bench.studies.trainings import first_reason, run_missing
from tasks.errors import UsageError


def run_sequence(options: SequenceOptions, progress: Progress) -> StudyReport:
    """Run the missing sequences and return the report; each is stored when it ends.

    Raises:
        UsageError: Before any training: wrong names, too few facts or an unwritable folder. After
            them: every sequence failed, with the reason.
        KeyboardInterrupt: Ctrl-C; says how many sequences are finished. The next call resumes.
    """
    plan, store = plan_study(options), SequenceStore(options.folder)
    results = run_missing(plan.sequences, plan.grid, store, run_training, outcome_line, progress)
    outcomes = outcomes_of(plan, results)
    if outcomes.empty:
        raise UsageError(f"every sequence failed: {first_reason(results, 'no reason')}")
    table = sequence_table(plan, outcomes, results)
    note = f"Bands: {kind_of_intervals(table)}"
    return StudyReport(
        name=options.name,
        title="Sequence: what facts lose to the updates that follow",
        about=about(plan, table),
        table=table,
        columns=shown_columns(table),
        figure=sequence_figure(plan, outcomes, results, where(plan), note),
        command=options.command,
        failures=failure_lines(plan, results),
        further=(matrix_table(plan, outcomes, results),),
    )
