"""Question 2: who strays from the target, and when?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bench.pages.findings.answer import Answer, Question
from bench.pages.findings.claim import Claim, Effect
from bench.pages.findings.effects import group_difference, mean_of
from bench.pages.findings.evidence import Evidence, Setting, values_of
from bench.pages.findings.pictures import shares
from bench.pages.findings.planned import BAR, POINTS_COUNT
from bench.pages.findings.questions.distance import THIRDS, has_thirds, relations_of, thirds
from bench.pages.findings.questions.planned_settings import (
    MANY,
    epochs_of,
    planned_settings,
    unknown,
)
from bench.pages.findings.verdict import Unit, Verdict
from bench.report.leaderboard.board import Row
from bench.report.leaderboard.distance_buckets import AWAY
from bench.report.statistics.comparison import LEVEL
from bench.report.statistics.intervals import Floats

QUESTION = Question(
    key="straying",
    title="Straying",
    asks="While facts are being learned, do answers that lie near the target stray from it more "
    "often than answers that lie far from it?",
    compared="The share of unknown facts whose answer, with demonstrations, is farther from the "
    "target than the answer of the base was: the nearest third less the farthest third, within "
    "relations, after four epochs of LoRA.",
    source="2405.18292: facts at short distances are pushed away",
    expected=Verdict.YES,
    grids=("straying",),
)
METHOD, LEAST_FACTS = "lora", 512


def answer(evidence: Evidence) -> Answer:
    """Compare the nearest and the farthest third by the share that strayed."""
    settings = [
        setting
        for setting in planned_settings(evidence, MANY)
        if METHOD in setting.rows
        and setting.spec.facts >= LEAST_FACTS
        and has_thirds(setting.rows[METHOD])
    ]
    found = [_shares(setting) for setting in settings]
    beyond = tuple(_beyond_chance(setting) for setting in settings)
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "After four epochs, near facts have strayed more often than far ones",
                tuple(_difference(setting) for setting in settings),
                BAR * POINTS_COUNT / 100,
                advice=_advice(beyond),
            ),
        ),
        details=beyond,
        measured=(
            *(effect for series in found for kind in series.values() for effect in kind.values()),
            *(effect for setting in settings for effect in _of_all(setting)),
        ),
        caveats=(
            "An answer that happens to be near has more room to move away than one that is far, "
            "so part of the difference would be there however the answers changed. The further "
            "comparison takes that part out: it is what would be seen if the distances after "
            "training were shared out anew among the facts of a relation.",
            "It is about this dose: the measurements below say how much was learned by then.",
        ),
        pictures=tuple(
            shares("straying", "Facts that strayed, by distance", setting.title, series)
            for setting, series in zip(settings, found, strict=True)
        ),
    )


def _advice(beyond: Sequence[Effect]) -> dict[Verdict, str]:
    """Return the advice; whether a yes is more than chance decides what it says."""
    by_chance = all(effect.p is None or effect.p > LEVEL for effect in beyond)
    expected = "Expect answers that were nearly right to stray early in training"
    read_as = "do not read it as harm to near facts: as many would do so by chance alone"
    return {
        Verdict.YES: f"{expected}, but {read_as}" if by_chance else expected,
        Verdict.NO: "Do not fear for answers that are nearly right: early in training they stray "
        "no more than others",
    }


def _difference(setting: Setting) -> Effect:
    row = setting.rows[METHOD]
    near, _, far = thirds(row, within=True)
    table = group_difference(strayed(row), near, far)
    return mean_of("nearest third - farthest third", setting.title, table)


def _beyond_chance(setting: Setting) -> Effect:
    """Compare the thirds by straying less what it would be if distances were shared out anew."""
    row = setting.rows[METHOD]
    near, _, far = thirds(row, within=True)
    table = group_difference(strayed(row) - strayed_anew(row), near, far)
    return mean_of("nearest third - farthest third, beyond chance", setting.title, table)


SEEN, ANEW = "strayed", "expected if distances were shared out anew"


def _shares(setting: Setting) -> dict[str, dict[str, Effect]]:
    """Return the shares that strayed, seen and expected, by third."""
    row = setting.rows[METHOD]
    groups = dict(zip(THIRDS, thirds(row, within=True), strict=True))
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
    learned = np.asarray(epochs_of(row, row.seeds) <= row.spec.epochs, dtype=np.float64)
    for name, found in ((SEEN, strayed(row)), ("learned", learned)):
        yield mean_of(f"{name}, all unknown facts", setting.title, found, Unit.PERCENT)


def strayed(row: Row) -> Floats:
    """Return whether answers moved away from their targets, 0 or 1, `[seeds, unknown facts]`."""
    before, after = _distances(row)
    return np.asarray(after - before > AWAY, dtype=np.float64)


def strayed_anew(row: Row) -> Floats:
    """Return how often facts would have strayed by chance, `[seeds, unknown facts]`.

    It is the share of the other facts of its relation that end farther from their targets than
    this fact began, so it keeps what was learned and how far wrong answers are in the end, and not
    which fact they belong to. NaN for the only fact of a relation.
    """
    before, after = _distances(row)
    relations = relations_of(row).to_numpy()
    same = (relations[:, None] == relations) & ~np.eye(len(relations), dtype=np.bool_)
    farther = after[:, None, :] - before[:, :, None] > AWAY
    with np.errstate(invalid="ignore"):
        return np.asarray((farther & same).sum(axis=2) / same.sum(axis=1), dtype=np.float64)


def _distances(row: Row) -> tuple[Floats, Floats]:
    """Return distances with demonstrations before and after, `[seeds, unknown facts]` each."""
    before, after = (
        values_of(row, row.seeds, column)[:, unknown(row)]
        for column in ("distance_before", "distance_few_shot")
    )
    return before, after
