"""Do filter and reweight help beyond their controls of equal size?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from bench.findings.answer import Answer, Claim, Effect, Question, Verdict, present
from bench.findings.effects import Flags, paired
from bench.findings.evidence import Evidence, Setting, shared_seeds, told, values
from bench.report.board import Row
from bench.report.choices import choices_of
from methods.recipe import Recipe, part_name

QUESTION = Question(
    key="selection",
    title="Filter and reweight against their controls",
    asks="Do filter and reweight (each sign) help beyond random_filter, drop and uniform of equal "
    "size, on kept facts and on all?",
    compared="Each is compared with its controls on the same adapter, paired by fact and seed: "
    "filter with random_filter and with drop of either side, which keep as many facts; reweight "
    "with uniform, or with the plain adapter, whose numbers uniform repeats. On kept facts: those "
    "that both methods trained in every seed. A claim needs every control.",
    source="2405.18292: semantic filtering and reweighting improve learning",
    expected=Verdict.YES,
    grids=("strategies",),
)

Seeds = tuple[int, ...]
Some = tuple[Flags, str]
"""Some of the facts, `[facts]`, and which they are."""

FILTER, REWEIGHT = "filter", "reweight"
FILTER_CONTROLS = ("random_filter", "drop")
WEIGHT_CONTROL = "uniform"


def answer(evidence: Evidence) -> Answer:
    """Compare filters on all and on kept facts, and weights of either sign on all."""
    found = told(s for s in evidence.settings if any(_kinds(s, FILTER) or _kinds(s, REWEIGHT)))
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "Training on the facts that filter keeps answers more of all facts than its "
                "controls do",
                tuple(_filters(found, kept=False)),
                least_effects=len(FILTER_CONTROLS),
                advice={
                    Verdict.NO: "Do not filter facts by semantic distance: leaving out as many "
                    "at random does as well",
                    Verdict.YES: "If facts must be left out, let filter choose them",
                },
            ),
            Claim(
                "Of the facts that both train, filter's are answered more often",
                tuple(_filters(found, kept=True)),
                least_effects=len(FILTER_CONTROLS),
            ),
            *(
                Claim(
                    f"reweight with sign {sign:+d} answers more of all facts than equal weights",
                    tuple(_weights(found, sign)),
                    advice={
                        Verdict.NO: "Weights by semantic distance do not pay: train all facts alike"
                    }
                    if sign == 1
                    else {},
                )
                for sign in (1, -1)
            ),
        ),
        details=(*_against_plain(found), *_where_it_weighs(found)),
        caveats=tuple(_caveats(found)),
    )


def _kinds(setting: Setting, name: str) -> list[tuple[Row, Recipe]]:
    """Return the rows whose recipe is an adapter and one part of a name."""
    return [(row, recipe) for row, recipe in _two_parts(setting) if _part(recipe) == name]


def _two_parts(setting: Setting) -> Iterator[tuple[Row, Recipe]]:
    for row in setting.rows.values():
        recipe = setting.recipe(row)
        if recipe is not None and len(recipe.parts) == 2 and recipe.placement is None:
            yield row, recipe


def _part(recipe: Recipe) -> str:
    return part_name(recipe.parts[1])


def _filters(settings: list[Setting], *, kept: bool) -> tuple[Effect, ...]:
    return present(
        compared(setting, row, control, _both_trained if kept else None)
        for setting in settings
        for row, recipe in _kinds(setting, FILTER)
        for control in _filter_controls(setting, row, recipe)
    )


def _filter_controls(setting: Setting, row: Row, recipe: Recipe) -> list[Row]:
    """Return controls of the same adapter that keep as many facts."""
    return [
        control
        for control, other in _two_parts(setting)
        if _part(other) in FILTER_CONTROLS
        and other.adapter == recipe.adapter
        and _kept(control) == _kept(row)
    ]


def _kept(row: Row) -> int | None:
    return choices_of(row.cells[0].record).kept


def _weights(settings: list[Setting], sign: int) -> tuple[Effect, ...]:
    return present(
        compared(setting, row, control)
        for setting in settings
        for row, recipe in _kinds(setting, REWEIGHT)
        if getattr(recipe.weights, "sign", 0) == sign
        for control in _weight_controls(setting, recipe)
    )


def _weight_controls(setting: Setting, recipe: Recipe) -> list[Row]:
    uniform = [r for r, o in _kinds(setting, WEIGHT_CONTROL) if o.adapter == recipe.adapter]
    return uniform or _plain(setting, recipe)


def _plain(setting: Setting, recipe: Recipe) -> list[Row]:
    wanted = replace(recipe, filter=None, weights=None).full_name
    return [row for row in setting.rows.values() if row.spec.recipe == wanted]


def compared(
    setting: Setting, row: Row, control: Row, some: Callable[[Row, Row, Seeds], Some] | None = None
) -> Effect | None:
    """Return the paired difference of two rows, on all facts or `some`; None without any."""
    seeds = shared_seeds([row, control])
    if not seeds:
        return None
    pair = [values(r, seeds) for r in (row, control)]
    where = ""
    if some is not None:
        facts, said = some(row, control, seeds)
        if not facts.any():
            return None
        pair, where = [value[:, facts] for value in pair], f", {facts.sum()} facts {said}"
    return paired(f"{row.label} - {control.label}{where}", setting.title, *pair)


def _both_trained(row: Row, control: Row, seeds: Seeds) -> Some:
    """Return the facts that both rows trained in every seed."""
    kept = [values(r, seeds, "kept").astype(bool).all(axis=0) for r in (row, control)]
    return np.asarray(kept[0] & kept[1]), "both train"


def _lighter(row: Row, _: Row, seeds: Seeds) -> Some:
    """Return the facts that a row weighs less than equal weights do, in every seed."""
    return np.asarray((values(row, seeds, "weight") < 1).all(axis=0)), "of weights below 1"


def _heavier(row: Row, _: Row, seeds: Seeds) -> Some:
    return np.asarray((values(row, seeds, "weight") > 1).all(axis=0)), "of weights above 1"


def _where_it_weighs(settings: list[Setting]) -> tuple[Effect, ...]:
    """Compare weights with equal ones where they are smaller, and where they are larger."""
    return present(
        compared(setting, row, control, some)
        for setting in settings
        for row, recipe in _kinds(setting, REWEIGHT)
        for control in _weight_controls(setting, recipe)
        for some in (_lighter, _heavier)
    )


def _against_plain(settings: list[Setting]) -> tuple[Effect, ...]:
    """Compare every strategy with its adapter on all facts: what leaving facts out costs."""
    return present(
        compared(setting, row, plain)
        for setting in settings
        for row, recipe in _two_parts(setting)
        for plain in _plain(setting, recipe)
    )


def _caveats(settings: list[Setting]) -> Iterator[str]:
    yield "filter, reweight and the distance itself are rebuilt from abstracts and reviews."
    for setting in settings:
        for row, _ in _kinds(setting, FILTER):
            made = choices_of(row.cells[0].record)
            if made.removed_interval and made.kept is not None:
                low, high = made.removed_interval
                yield (
                    f"{setting.title}: {row.label} removes {row.spec.facts - made.kept} facts at "
                    f"distances {low:.2f} to {high:.2f}."
                )
        weighted = [recipe for _, recipe in _kinds(setting, REWEIGHT)]
        for control in {
            r.label: r for w in weighted for r in _weight_controls(setting, w)
        }.values():
            answered = control.metrics["reliability"]
            if answered is not None:
                left = 100 * (1 - answered.value)
                yield (
                    f"{setting.title}: with equal weights {control.label} answers "
                    f"{100 - left:.1f} % of the facts: other weights can add {left:.1f} points at "
                    "the most."
                )
