"""What plots show as learned: before the ceiling, where methods differ."""

from __future__ import annotations

from bench.evaluation.metrics.labels import AUROC
from bench.report.leaderboard.board import Row, Section
from bench.report.leaderboard.half_dose import AT_HALF_DOSE
from bench.report.statistics.intervals import Estimate


def learned_metric(section: Section) -> str:
    """Return the metric: the share learned at the half dose, else at the end of training.

    Of a classification it is the area under the ROC curve.
    """
    if section.learned == AUROC:
        return AUROC
    there = any(row.metrics[AT_HALF_DOSE] for row in section.done)
    return AT_HALF_DOSE if there else "reliability"


def learned(section: Section, row: Row) -> Estimate | None:
    """Return what a row has learned."""
    return row.metrics[learned_metric(section)]


def learned_title(section: Section) -> str:
    """Return what it is called in the title of a plot."""
    if learned_metric(section) == AUROC:
        return "AUROC"
    at_half = learned_metric(section) == AT_HALF_DOSE
    return "what was learned at the half dose" if at_half else "what was learned"


def learned_label(section: Section) -> str:
    """Return the label of the axis that shows it."""
    if learned_metric(section) == AUROC:
        return "AUROC, % (more is better)"
    if learned_metric(section) != AT_HALF_DOSE:
        return section.worded("reliability, % of facts (more is better)")
    epochs = section.half_dose
    plural = "epoch" if epochs == 1 else "epochs"
    return section.worded(f"unknown facts learned after {epochs} {plural}, % (more is better)")
