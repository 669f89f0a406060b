"""Question 1: is a fact at a middle distance learned sooner?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from bench.pages.findings.answer import Answer, Picture, Question
from bench.pages.findings.claim import Claim, Effect
from bench.pages.findings.effects import Flags, group_difference, mean_of
from bench.pages.findings.evidence import Evidence, Setting
from bench.pages.findings.pictures import learning, means
from bench.pages.findings.questions.planned_settings import (
    ASKS_FOR_YEAR,
    EPOCHS_BAR,
    SMALLER,
    WORLD,
    Training,
    epochs_of,
    planned_seeds,
    planned_settings,
    unknown,
)
from bench.pages.findings.verdict import Unit, Verdict
from bench.report.leaderboard.board import Row
from bench.report.statistics.intervals import Floats

QUESTION = Question(
    key="distance",
    title="Distance and learning",
    asks="Among facts of one relation, are those at a middle semantic distance learned sooner than "
    "near and far ones?",
    compared="Epochs to learn of the nearest and of the farthest third of each relation's unknown "
    "facts, each less the middle third, with LoRA. The mean of its relation is taken off each "
    "fact's epochs. A yes needs both differences.",
    source="2405.18292: accuracy drops at short and at long distances",
    expected=Verdict.YES,
    grids=("lora", "world"),
    method="lora",
)
METHOD, SEEDS = QUESTION.method, 12
THIRDS = ("nearest third", "middle third", "farthest third")
FEWEST = 2
"""A third with fewer facts has no spread and is not compared."""

Thirds = Callable[[Row], tuple[Flags, Flags, Flags]]
"""Returns which unknown facts of a row are near, between and far, each `[counted facts]`."""


def answer(evidence: Evidence) -> Answer:
    """Compare thirds of distance, within relations and, beside it, regardless of them."""
    found, world = (_with_thirds(evidence, like) for like in (SMALLER, WORLD))
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "Within a relation, near and far facts take longer to learn than those between",
                "epochs to learn, less the mean of the relation",
                tuple(_ends(found, ranked_thirds)),
                EPOCHS_BAR,
                planned=planned_seeds(found, SEEDS),
                advice={
                    Verdict.YES: "Give near and far facts of a relation more epochs than those "
                    "between",
                    Verdict.NO: "Do not plan epochs by semantic distance: among facts of one "
                    "relation, near and far ones do not both take longer to learn",
                },
            ),
        ),
        details=(
            *_ends(found, centred_thirds, ", by distance less the relation's mean"),
            *_ends(found, raw_thirds, ", relations mixed", within=False),
            *_without_years(found),
            *_ends(world, ranked_thirds),
        ),
        measured=(
            *distances_before(found, ranked_thirds),
            *(effect for setting in found for effect in _by_relation(setting).values()),
            *_learned(found),
        ),
        caveats=(
            "Near and far mean in the nearest and in the farthest third of the fact's relation. "
            "These thirds were defined while the cells ran, instead of those by distance less the "
            "relation's mean, which stand beside them (see the changes of the design).",
            "Differences between the means of relations, and so between types of answers, are "
            "taken out. The further comparisons with relations mixed keep them.",
            "A fact that is not learned counts as if it were learned one epoch after the last; the "
            "table above gives the shares that are learned.",
        ),
        pictures=tuple(draw(setting) for setting in found for draw in (_curves, _relations)),
    )


def _with_thirds(evidence: Evidence, like: Training) -> list[Setting]:
    return [
        setting
        for setting in planned_settings(evidence, like)
        if METHOD in setting.rows and has_thirds(setting.rows[METHOD], ranked_thirds)
    ]


def _curves(setting: Setting) -> Picture:
    row = setting.rows[METHOD]
    epochs = epochs_of(row, row.seeds, counted(row))
    groups = {n: epochs[:, third] for n, third in zip(THIRDS, ranked_thirds(row), strict=True)}
    heading = "Learning by distance within relations"
    return learning("distance", heading, setting.title, groups, row.spec.epochs)


def _relations(setting: Setting) -> Picture:
    return means(
        "relations",
        "Learning by relation, the nearest first",
        setting.title,
        {"epochs to learn": _by_relation(setting)},
        outcome="epochs to learn",
        most=setting.spec.epochs + 1,
    )


def _by_relation(setting: Setting) -> dict[str, Effect]:
    """Return the epochs to learn of each relation by its name and distance, the nearest first."""
    row = setting.rows[METHOD]
    epochs, relations = epochs_of(row, row.seeds, counted(row)), relations_of(row)
    far = pd.Series(distances_of(row)).groupby(relations).mean().sort_values()
    return {
        f"{name} (distance {distance:.2f})": mean_of(
            f"epochs to learn, {name} (distance {distance:.2f})",
            setting.title,
            epochs[:, (relations == name).to_numpy()],
            Unit.DOSE,
        )
        for name, distance in far.items()
    }


def _ends(
    settings: list[Setting], thirds: Thirds, kind: str = "", *, within: bool = True
) -> Iterator[Effect]:
    """Compare both ends with the middle; within relations, their means are taken off epochs."""
    for setting in settings:
        row = setting.rows[METHOD]
        if not has_thirds(row, thirds):
            continue
        near, middle, far = thirds(row)
        epochs = epochs_of(row, row.seeds, counted(row))
        if within:
            epochs = np.stack([_centred(values, relations_of(row)) for values in epochs])
        for name, end in (("nearest", near), ("farthest", far)):
            table = group_difference(epochs, end, middle)
            yield mean_of(f"{name} - middle third{kind}", setting.title, table, Unit.EPOCHS)


def _without_years(settings: list[Setting]) -> Iterator[Effect]:
    """Compare ends with the middle, relations mixed, among facts that do not ask for a year."""
    for setting in settings:
        row = setting.rows[METHOD]
        others = ~_years(row)
        if others.all() or not others.any():
            continue
        near, middle, far = _by_quantiles(distances_of(row)[others])
        epochs = epochs_of(row, row.seeds, counted(row))[:, others]
        if min(near.sum(), middle.sum(), far.sum()) >= FEWEST:
            for name, end in (("nearest", near), ("farthest", far)):
                about = f"{name} - middle third, relations mixed, without years"
                table = group_difference(epochs, end, middle)
                yield mean_of(about, setting.title, table, Unit.EPOCHS)


def _learned(settings: list[Setting]) -> Iterator[Effect]:
    """Yield the share of facts that are learned, of those that ask for years and of others."""
    for setting in settings:
        row = setting.rows[METHOD]
        learned = epochs_of(row, row.seeds, counted(row)) <= row.spec.epochs
        for name, facts in (("that ask for years", _years(row)), ("of other kinds", ~_years(row))):
            if facts.any():
                table = np.asarray(learned[:, facts], dtype=np.float64)
                yield mean_of(f"learned, facts {name}", setting.title, table, Unit.PERCENT)


def _years(row: Row) -> Flags:
    """Return which facts ask for a year, `[counted facts]`."""
    return np.asarray(relations_of(row).str.endswith(ASKS_FOR_YEAR), dtype=np.bool_)


def distances_before(settings: list[Setting], thirds: Thirds) -> Iterator[Effect]:
    """Yield how far the answers of each third lay from their targets before training."""
    for setting in settings:
        row = setting.rows[METHOD]
        far = np.broadcast_to(distances_of(row), (len(row.seeds), counted(row).sum()))
        for name, third in zip(THIRDS, thirds(row), strict=True):
            yield mean_of(f"distance before, {name}", setting.title, far[:, third], Unit.DISTANCE)


def ranked_thirds(row: Row) -> tuple[Flags, Flags, Flags]:
    """Return the thirds of each relation; equal distances are in the same third."""
    series = pd.Series(distances_of(row))
    by_relation = series.groupby(relations_of(row))
    place = ((by_relation.rank() - 0.5) / by_relation.transform("size")).to_numpy()
    near, far = place < 1 / 3, place > 2 / 3
    return near, ~near & ~far, far


def centred_thirds(row: Row) -> tuple[Flags, Flags, Flags]:
    """Return thirds of all facts by their distance less the mean of their relation."""
    return _by_quantiles(_centred(distances_of(row), relations_of(row)))


def raw_thirds(row: Row) -> tuple[Flags, Flags, Flags]:
    """Return thirds of all facts by their distance."""
    return _by_quantiles(distances_of(row))


def has_thirds(row: Row, thirds: Thirds) -> bool:
    """Return whether each third has two facts: where most distances are equal, one has none."""
    return min(third.sum() for third in thirds(row)) >= FEWEST


def counted(row: Row) -> Flags:
    """Return which facts are unknown and have a distance and a relation, `[facts]`."""
    related = row.cells[0].rows["relation"].notna().to_numpy()
    return np.asarray(unknown(row) & related & ~np.isnan(_all_distances(row)))


def distances_of(row: Row) -> Floats:
    """Return how far the base's answers lie from their targets, `[counted facts]`."""
    return _all_distances(row)[counted(row)]


def relations_of(row: Row) -> pd.Series:
    """Return the relations of the counted facts."""
    return row.cells[0].rows.loc[counted(row), "relation"].reset_index(drop=True)


def _all_distances(row: Row) -> Floats:
    return row.cells[0].rows["distance_before"].to_numpy(dtype=np.float64)


def _by_quantiles(distances: Floats) -> tuple[Flags, Flags, Flags]:
    if not len(distances):
        return (np.zeros(0, dtype=np.bool_),) * 3
    low, high = np.quantile(distances, [1 / 3, 2 / 3])
    near, far = distances <= low, distances > high
    return near, ~near & ~far, far


def _centred(values: Floats, relations: pd.Series) -> Floats:
    series = pd.Series(values)
    return np.asarray(series - series.groupby(relations).transform("mean"), dtype=np.float64)
