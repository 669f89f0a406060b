"""Question 2: who strays from the target, and when?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bench.pages.findings.answer import Answer, Question
from bench.pages.findings.claim import Claim, Effect
from bench.pages.findings.effects import Flags, group_difference, mean_of
from bench.pages.findings.evidence import Evidence, Setting, values_of
from bench.pages.findings.pictures import means
from bench.pages.findings.planned import BAR, POINTS_COUNT
from bench.pages.findings.questions.distance import (
    THIRDS,
    centred_thirds,
    counted,
    distances_before,
    has_thirds,
    relations_of,
)
from bench.pages.findings.questions.planned_settings import (
    MANY,
    epochs_of,
    planned_seeds,
    planned_settings,
)
from bench.pages.findings.verdict import Unit, Verdict
from bench.report.leaderboard.board import Row
from bench.report.leaderboard.distance_buckets import AWAY
from bench.report.statistics.comparison import LEVEL
from bench.report.statistics.intervals import Floats

QUESTION = Question(
    key="straying",
    title="Straying",
    asks="While facts are being learned, do answers that are nearer to the target than is usual "
    "for their relation stray more often than those that are farther?",
    compared="The share of unknown facts whose answer, with demonstrations, is farther from the "
    "target than the answer of the base was, after four epochs of LoRA: the nearest third less the "
    "farthest third, by distance less the mean of the fact's relation.",
    source="2405.18292: facts at short distances are pushed away",
    expected=Verdict.YES,
    grids=("straying",),
    method="lora",
)
METHOD, LEAST_FACTS, SEEDS = QUESTION.method, 512, 6
AFTER = "distance_few_shot"


def answer(evidence: Evidence) -> Answer:
    """Compare the nearest and the farthest third by the share that strayed."""
    settings = [
        setting
        for setting in planned_settings(evidence, MANY)
        if METHOD in setting.rows
        and setting.spec.facts >= LEAST_FACTS
        and has_thirds(setting.rows[METHOD], centred_thirds)
        and (_measured(setting.rows[METHOD]) & counted(setting.rows[METHOD])).any()
    ]
    found = [_shares(setting) for setting in settings]
    beyond = tuple(_beyond_chance(setting) for setting in settings)
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "After four epochs, near facts have strayed more often than far ones",
                "share of facts that strayed",
                tuple(_difference(setting) for setting in settings),
                BAR * POINTS_COUNT / 100,
                advice=_advice(beyond),
                planned=planned_seeds(settings, SEEDS),
            ),
        ),
        details=beyond,
        measured=(
            *(effect for series in found for kind in series.values() for effect in kind.values()),
            *(effect for setting in settings for effect in _of_all(setting)),
            *distances_before(settings, centred_thirds),
        ),
        caveats=(
            "An answer that happens to be near has more room to move away than one that is far, "
            "so part of the difference would be there however the answers changed. The further "
            "comparison takes that part out: it is the difference that was seen, less the one that "
            "would be seen if each fact ended as far from its target as some other fact of its "
            "relation.",
            "Near means nearer than is usual for the fact's relation, not nearly right: the table "
            "above has the distances. Relations whose answers all lie at about the same distance, "
            "such as years, fill the middle third, so its mean distance can be the smallest.",
            "The answer holds for this amount of training: the table above gives what was learned "
            "by then.",
        ),
        pictures=tuple(
            means(
                "straying", "Facts that strayed, by distance", setting.title, series, expected=ANEW
            )
            for setting, series in zip(settings, found, strict=True)
        ),
    )


def _advice(beyond: Sequence[Effect]) -> dict[Verdict, str]:
    """Return the advice; what is left of a yes beyond chance decides what it says."""
    return {
        Verdict.YES: _beyond(beyond),
        Verdict.NO: "Do not fear for answers that are nearer than others: early in training they "
        "stray no more often",
    }


def _beyond(found: Sequence[Effect]) -> str:
    """Say whether the thirds differ by more than they would by chance."""
    facts = "facts whose answers begin nearer to the target than is usual for their relation"
    moved = "those answers move away from it more often early in training"
    if all(effect.value > 0 and effect.p is not None and effect.p <= LEVEL for effect in found):
        return f"Watch {facts}: {moved}, beyond what is chance"
    highest = max((e.estimate.interval.high for e in found if e.estimate.interval), default=np.inf)
    if highest < BAR * POINTS_COUNT / 100:
        return f"Do not shield {facts}: {moved}, but no more than chance explains"
    return (
        f"Do not read a meaning into {facts}: {moved}, and whether that is more than chance is open"
    )


def _difference(setting: Setting) -> Effect:
    row = setting.rows[METHOD]
    near, _, far = _thirds(row)
    table = group_difference(strayed(row), near, far)
    return mean_of("nearest third - farthest third", setting.title, table)


def _beyond_chance(setting: Setting) -> Effect:
    """Compare the thirds by straying less what it would be if distances were reshuffled."""
    row = setting.rows[METHOD]
    near, _, far = _thirds(row)
    table = group_difference(strayed(row) - strayed_anew(row), near, far)
    return mean_of("nearest third - farthest third, beyond chance", setting.title, table)


SEEN, ANEW = "strayed", "expected by chance, distances reshuffled within relations"


def _shares(setting: Setting) -> dict[str, dict[str, Effect]]:
    """Return the shares that strayed, seen and expected, by third."""
    row = setting.rows[METHOD]
    groups = dict(zip(THIRDS, _thirds(row), strict=True))
    return {
        kind: {
            third: mean_of(f"{kind}, {third}", setting.title, found[:, group], Unit.PERCENT)
            for third, group in groups.items()
        }
        for kind, found in ((SEEN, strayed(row)), (ANEW, strayed_anew(row)))
    }


def _of_all(setting: Setting) -> Iterator[Effect]:
    """Yield what strayed, and what is learned, of all unknown facts."""
    row = setting.rows[METHOD]
    epochs = epochs_of(row, row.seeds, counted(row) & _measured(row))
    learned = np.asarray(epochs <= row.spec.epochs, dtype=np.float64)
    for name, found in ((SEEN, strayed(row)), ("learned", learned)):
        yield mean_of(f"{name}, all unknown facts", setting.title, found, Unit.PERCENT)


def strayed(row: Row) -> Floats:
    """Return whether answers moved away from their targets, 0 or 1, `[seeds, unknown facts]`."""
    before, after = _distances(row)
    return np.asarray(after - before > AWAY, dtype=np.float64)


def strayed_anew(row: Row) -> Floats:
    """Return how often facts would have strayed by chance, `[seeds, unknown facts]`.

    It is the share of the *other* facts of its relation that end farther from their targets than
    this fact began, so it keeps what was learned and how far wrong answers are in the end, and not
    which fact they belong to. NaN for the only fact of a relation.
    """
    before, after = _distances(row)
    relations = relations_of(row).to_numpy()[_measured(row)[counted(row)]]
    same = (relations[:, None] == relations) & ~np.eye(len(relations), dtype=np.bool_)
    farther = after[:, None, :] - before[:, :, None] > AWAY
    with np.errstate(invalid="ignore"):
        return np.asarray((farther & same).sum(axis=2) / same.sum(axis=1), dtype=np.float64)


def _thirds(row: Row) -> tuple[Flags, ...]:
    """Return the thirds, each `[facts that were measured]`."""
    measured = _measured(row)[counted(row)]
    return tuple(third[measured] for third in centred_thirds(row))


def _measured(row: Row) -> Flags:
    """Return which facts have a distance after training in every seed, `[facts]`."""
    return np.asarray(~np.isnan(values_of(row, row.seeds, AFTER)).any(axis=0))


def _distances(row: Row) -> tuple[Floats, Floats]:
    """Return distances with demonstrations before and after, `[seeds, measured facts]` each."""
    facts = counted(row) & _measured(row)
    before, after = (
        values_of(row, row.seeds, column)[:, facts] for column in ("distance_before", AFTER)
    )
    return before, after
