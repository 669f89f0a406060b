"""Order: facts trained one after another until learned, or in epochs over all of them.

Editors train each fact to convergence before the next; arXiv 2509.22072 finds that epochs over all
facts, in batches, lose far fewer of them. Every group of facts is trained in each order, within two
budgets, and asked in the end.
"""

from __future__ import annotations

from bench.progress.base import Progress
from bench.studies.estimates import kind_of_intervals
from bench.studies.order.figure import order_figure
from bench.studies.order.plan import plan_study
from bench.studies.order.store import OrderStore
from bench.studies.order.study import OrderOptions
from bench.studies.order.table import order_table, outcomes_of, shown_columns
from bench.studies.order.training import run_training
from bench.studies.order.wording import about, failure_lines, outcome_line, where
from bench.studies.study_report import StudyReport
from bench.studies.trainings import first_reason, run_missing
from tasks.errors import UsageError


def run_order(options: OrderOptions, progress: Progress) -> StudyReport:
    """Run the missing trainings and return the report; each training is stored when it ends.

    Raises:
        UsageError: Before any training: wrong names, too few facts or an unwritable folder. After
            them: every training failed, with the reason.
        KeyboardInterrupt: Ctrl-C; says how many trainings are finished. The next call resumes.
    """
    plan, store = plan_study(options), OrderStore(options.folder)
    results = run_missing(plan.trainings, plan.grid, store, run_training, outcome_line, progress)
    outcomes = outcomes_of(plan, results)
    if outcomes.empty:
        raise UsageError(f"every training failed: {first_reason(results, 'no reason')}")
    table = order_table(plan, outcomes, results)
    note = f"Bars: {kind_of_intervals(table)}"
    return StudyReport(
        name=options.name,
        title="Order: one fact after another until learned, or epochs over all of them",
        about=about(options, plan, table),
        table=table,
        columns=shown_columns(table),
        figure=order_figure(table, outcomes, where(plan), note),
        command=options.command,
        failures=failure_lines(table),
    )
