"""The sentences beside the table of the study of order."""

from __future__ import annotations

import pandas as pd

from bench.report.statistics.intervals import DECIDING_SEEDS, FEWEST_ITEMS
from bench.studies.estimates import kind_of_intervals
from bench.studies.order.plan import StudyPlan
from bench.studies.order.store import Trained
from bench.studies.order.study import Optimizer, OrderOptions
from bench.studies.order.table import DONE
from bench.studies.trainings import named, seeds_text


def where(plan: StudyPlan) -> str:
    """Name the model, the task, the learning rates and the seeds."""
    spec, seeds = plan.cells[0].spec, dict.fromkeys(cell.spec.seed for cell in plan.cells)
    rates = dict.fromkeys(f"{c.spec.method} {c.spec.learning_rate:g}" for c in plan.cells)
    return (
        f"{named(spec.model)} · {named(spec.task)}: learning rate {', '.join(rates)}, "
        f"{seeds_text(list(seeds))}"
    )


def about(options: OrderOptions, plan: StudyPlan, table: pd.DataFrame) -> tuple[str, ...]:
    """Say how to read the table and the picture."""
    fresh = options.optimizer is Optimizer.FRESH
    batches = (
        f"; and in epochs, in batches of {options.batch_size}" if options.batch_size > 1 else ""
    )
    known = table["known"].dropna()
    return (
        f"{where(plan)}; constant learning rate without warm-up.",
        "One adapter learns K facts in several ways: one after another (depth first), each fact "
        "alone to its end and then the next; in epochs over all of them, one by one, which changes "
        f"nothing but the order{batches}.",
        "Until learned: a fact that is trained alone stops as soon as all of its target tokens are "
        "right under teacher forcing, and epochs stop as soon as those of all facts are; each fact "
        f"has at most {options.most} exposures. At equal exposures every fact has "
        f"{options.exposures}, and epochs one by one also take as many updates as one after "
        "another.",
        "One after another, "
        + ("each fact begins with a new AdamW" if fresh else "all facts share one AdamW")
        + "; epochs have one AdamW throughout.",
        f"Small groups are repeated with other facts until {options.measured} facts are measured, "
        "where the task has them. One fact has no order.",
        "Right: the greedy answer to the trained prompt. Right after own training is asked "
        "directly after a fact's last update when facts are trained one after another; what is "
        "missing in the end was lost to the facts that followed. In epochs the two are the same.",
        "With demonstrations: four examples stand before the question, which training did not "
        "see. Generality: other wordings of the question. Locality: neighbours that the base "
        "answered and that still are. Drift: mean KL to the base on its own texts."
        + (f" The base knew {100 * known.mean():.0f}% of the facts." if len(known) else ""),
        "Differences are paired by seed and fact, with the same K and budget"
        + (
            "; verdicts are Holm-corrected over the lines of one method and K, from "
            f"{DECIDING_SEEDS} seeds on."
            if (table["right_verdict"] != "").any()
            else f"; nothing is tested with fewer than {DECIDING_SEEDS} seeds."
        ),
        "The comparison is that of arXiv 2509.22072, whose editors stop at a loss of 0.01 instead; "
        "the measures are this project's.",
        f"Brackets and bars: {kind_of_intervals(table)}. '-' means that fewer than {FEWEST_ITEMS} "
        "facts count.",
    )


def outcome_line(trained: Trained) -> str:
    """Say in one line how a training ended."""
    if not trained.outcomes:
        return trained.record.reason
    right = sum(outcome.right for outcome in trained.outcomes)
    taught = sum(outcome.taught for outcome in trained.outcomes)
    return (
        f"{taught} of {len(trained.outcomes)} facts learned, {right} answered in the end, "
        f"{trained.record.exposures:.3g} exposures per fact"
    )


def failure_lines(table: pd.DataFrame) -> tuple[str, ...]:
    """Return one line for each line of the table with failed trainings."""
    failed = table[table["status"] != DONE].to_dict("records")
    return tuple(
        f"{line['method']}, K = {line['size']}, {line['budget']}, {line['order']}: "
        f"{line['status']}; their facts are missing"
        for line in failed
    )
