"""Does semantic layer freezing match full depth, and beat other choices of layers?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from scipy import stats

from bench.findings import pictures
from bench.findings.answer import (
    POINTS,
    Answer,
    Claim,
    Effect,
    Question,
    Unit,
    Verdict,
    present,
)
from bench.findings.effects import paired
from bench.findings.evidence import Evidence, Setting, shared_seeds, told, values
from bench.records import PhaseName
from bench.report.board import Row
from bench.report.choices import choices_of
from bench.report.statistics import UNBOUNDED, Estimate, estimate, wilson
from methods.layer_deviation import STABLE_SHARE
from methods.placement.freeze import Freeze
from methods.recipe import Recipe, part_name

QUESTION = Question(
    key="layers",
    title="Semantic layer freezing",
    asks="Does freeze match full-depth training, at what saving in FLOPs and seconds, and better "
    "than last, random_cut and windows of equal depth? Is its cut stable?",
    compared="freeze is compared with the same adapter in all layers, paired by fact and seed. It "
    "matches where it does not lose the smallest difference worth a decision: a test of "
    "non-inferiority with that margin. Controls are windows that train as many layers, and "
    "random_cut, whose depth each seed draws. last of equal depth trains the very layers that "
    "freeze trains, by definition. The cut is stable where at least half of a bootstrap over facts "
    "cuts at the same layer.",
    source="2406.11753: freezing below the cut keeps or improves accuracy at lower cost",
    expected=Verdict.YES,
    grids=("placements",),
)

FREEZE = "freeze"
DRAWS = 1000
"""Of the bootstrap behind a recorded cut stability."""


def answer(evidence: Evidence) -> Answer:
    """Compare freeze with full depth and with other layers; read off cost and stability."""
    found = told(setting for setting in evidence.settings if _placed(setting, (FREEZE,)))
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "freeze answers as many facts as training all layers",
                tuple(_full_depth(found)),
                POINTS,
                negated=True,
                advice={
                    Verdict.YES: "Freeze the layers below the semantic cut: it costs no accuracy "
                    "that counts and saves most of the training",
                    Verdict.NO: "Do not freeze layers by the semantic cut where facts must be "
                    "learned: train all layers",
                },
            ),
            Claim(
                "freeze answers more facts than windows of as many layers",
                tuple(_controls(found, ("window", "first"))),
            ),
            Claim(
                "freeze answers more facts than a random cut",
                tuple(_controls(found, ("random_cut",))),
            ),
            Claim(
                "freeze answers more facts than the last layers of equal depth",
                tuple(_controls(found, ("last",))),
            ),
            Claim(
                "The cut is the same in at least half of a bootstrap over facts",
                tuple(_stability(found)),
                STABLE_SHARE,
                least_seeds=1,
            ),
        ),
        details=(*_other_depths(found), *_twins(found)),
        measured=tuple(_savings(found)),
        caveats=tuple(_caveats(found)),
        pictures=tuple(pictures.of_layers(found)),
    )


def _placed(setting: Setting, names: Iterable[str]) -> list[tuple[Row, Recipe]]:
    """Return the rows whose recipe is an adapter and a placement of some name."""
    found = ((row, setting.recipe(row)) for row in setting.rows.values())
    return [
        (row, recipe)
        for row, recipe in found
        if recipe is not None
        and recipe.placement is not None
        and len(recipe.parts) == 2
        and part_name(recipe.placement) in names
    ]


def _freezes(setting: Setting) -> list[tuple[Row, Recipe]]:
    """Return the rows that freeze by the default gain; without any those of other gains."""
    found = _placed(setting, (FREEZE,))
    return [(row, recipe) for row, recipe in found if recipe.placement == Freeze()] or found


def _full(setting: Setting, recipe: Recipe) -> list[Row]:
    wanted = replace(recipe, placement=None).full_name
    return [row for row in setting.rows.values() if row.spec.recipe == wanted]


def _full_depth(settings: list[Setting]) -> tuple[Effect, ...]:
    """Return what freezing loses: full depth minus freeze."""
    return present(
        _difference(setting, full, row)
        for setting in settings
        for row, recipe in _freezes(setting)
        for full in _full(setting, recipe)
    )


def _controls(settings: list[Setting], names: Iterable[str]) -> tuple[Effect, ...]:
    """Return freeze minus each control of as many layers; a random cut has its own depth."""
    return present(
        _difference(setting, row, control)
        for setting in settings
        for row, recipe in _freezes(setting)
        for control, other in _placed(setting, names)
        if other.adapter == recipe.adapter
        and (_depth(control) == _depth(row) or part_name(other.parts[1]) == "random_cut")
    )


def _other_depths(settings: list[Setting]) -> tuple[Effect, ...]:
    """Compare freeze with other depths and with other gains: is its cut a good one?"""
    return present(
        _difference(setting, row, other)
        for setting in settings
        for row, recipe in _freezes(setting)
        for other, control in _placed(setting, ("last", FREEZE))
        if control.adapter == recipe.adapter and _depth(other) != _depth(row)
    )


def _twins(settings: list[Setting]) -> tuple[Effect, ...]:
    """Return full depth minus last where that trains freeze's layers, at a rate tuned for them.

    freeze's own rate is tuned on other facts, on which it may cut elsewhere.
    """
    return present(
        _difference(setting, full, twin)
        for setting in settings
        for row, recipe in _freezes(setting)
        for twin, other in _placed(setting, ("last",))
        if other.adapter == recipe.adapter and _same_layers(row, twin)
        for full in _full(setting, recipe)
    )


def _difference(setting: Setting, first: Row, second: Row) -> Effect | None:
    seeds = shared_seeds([first, second])
    if not seeds:
        return None
    name = f"{first.label} - {second.label}"
    pair = values(first, seeds), values(second, seeds)
    return paired(name, setting.title, *pair, identical=_same_layers(first, second))


def _same_layers(first: Row, second: Row) -> bool:
    """Return whether two rows trained the same layers, hence the same, in every seed."""
    found = [[choices_of(cell.record).layers for cell in row.cells] for row in (first, second)]
    return found[0] == found[1] and None not in found[0]


def _depth(row: Row) -> int | None:
    layers = choices_of(row.cells[0].record).layers
    return len(layers) if layers else None


def _stability(settings: list[Setting]) -> Iterator[Effect]:
    """Return one effect per cut of a setting: adapters share the base's deviation."""
    for setting in settings:
        seen = set()
        for row, recipe in _freezes(setting):
            share = choices_of(row.cells[0].record).cut_stability
            if share is not None and recipe.placement not in seen:
                seen.add(recipe.placement)
                yield stability(row, setting.title, share)


def stability(row: Row, setting: str, share: float) -> Effect:
    """Return the share of draws that agree on a cut, with Wilson's interval over the draws."""
    agree = round(share * DRAWS)
    return Effect(
        name=f"{row.label}: draws that agree on the cut",
        setting=setting,
        estimate=Estimate(share, wilson(agree, DRAWS)),
        p=float(stats.binomtest(agree, DRAWS, STABLE_SHARE).pvalue),
        seeds=len(row.seeds),
        facts=row.spec.facts,
        null=STABLE_SHARE,
        unit=Unit.PERCENT,
    )


def _savings(settings: list[Setting]) -> Iterator[Effect]:
    for setting in settings:
        for row, recipe in _freezes(setting):
            for full in _full(setting, recipe):
                yield from savings(setting, row, full)


def savings(setting: Setting, row: Row, full: Row) -> Iterator[Effect]:
    """Return the shares of full depth's operations and training seconds that a row saves."""
    seeds = shared_seeds([row, full])
    for what, cost in (("training FLOPs", _flops), ("training seconds", _seconds)):
        pairs = [(cost(row, seed), cost(full, seed)) for seed in seeds]
        saved = [1 - mine / all_ for mine, all_ in pairs if mine is not None and all_]
        found = estimate(saved, [], UNBOUNDED) if len(set(saved)) > 1 else None
        if saved:
            found = found or Estimate(saved[0])
            name = f"{row.label}: {what} saved of {full.label}"
            yield Effect(
                name, setting.title, found, None, len(saved), row.spec.facts, unit=Unit.PERCENT
            )


def _flops(row: Row, seed: int) -> float | None:
    return next(c.record.flops for c in row.cells if c.record.spec.seed == seed)


def _seconds(row: Row, seed: int) -> float | None:
    record = next(c.record for c in row.cells if c.record.spec.seed == seed)
    phase = record.phases.get(PhaseName.TRAIN)
    return phase.seconds if phase else None


def _caveats(settings: list[Setting]) -> Iterator[str]:
    yield "The gain by which freeze cuts is rebuilt; the other gains are not independent evidence."
    for setting in settings:
        for row, _ in _placed(setting, (FREEZE,)):
            cuts = sorted({c for cell in row.cells if (c := choices_of(cell.record).cut)})
            same = [
                other.label for other, _ in _placed(setting, ("last",)) if _same_layers(other, row)
            ]
            told_same = f" {', '.join(same)} trains the same layers." if same else ""
            yield (
                f"{setting.title}: {row.label} cuts at layer {', '.join(map(str, cuts))} and "
                f"trains {_depth(row)} layers.{told_same}"
            )
