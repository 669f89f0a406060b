"""Does CorDA-kpm forget less, and does ipm learn more?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from bench.findings import pictures
from bench.findings.answer import Answer, Claim, Effect, Question, Verdict, present
from bench.findings.effects import paired, paired_nats
from bench.findings.evidence import Evidence, Setting, adapter_name, shared_seeds, told, values
from bench.records import Forgetting
from bench.report.board import DRIFT, Row
from bench.report.measures import item_losses
from bench.report.statistics import Floats
from tasks.forgetting.names import LM_EVAL_PREFIX

QUESTION = Question(
    key="keeping",
    title="Does CorDA keep knowledge?",
    asks="Does CorDA-kpm forget less than LoRA, PiSSA and MiLoRA, on the calibrated knowledge and "
    "on other knowledge? Does ipm learn more?",
    compared="What the others lose of each forgetting task minus what kpm loses, paired by item "
    "and seed; positive favours kpm. Calibrated knowledge is the task whose calibration part kpm "
    "was given; its forget part shares no subject with it. A claim needs all three of the others. "
    "ipm is compared with lora on the facts that are trained.",
    source="2406.05223: kpm forgets less at equal learning, ipm learns more",
    expected=Verdict.YES,
    grids=("adapters", "fictional", "nq_open", "gemma"),
)

CORDA, RIVALS, REFERENCE = "corda", ("lora", "pissa", "milora"), "lora"


def answer(evidence: Evidence) -> Answer:
    """Compare losses per item and learning per fact."""
    found = told(s for s in evidence.settings if _corda(s, "kpm") or _corda(s, "ipm"))
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "kpm forgets less of the knowledge it was calibrated on than lora, pissa and "
                "milora",
                tuple(_losses(found, calibrated=True)),
                least_effects=len(RIVALS),
                advice={
                    Verdict.YES: "To keep knowledge that you can sample, calibrate corda on it",
                    Verdict.NO: "Do not count on corda's calibration to keep knowledge: look at "
                    "what it forgets at the learning rate that you use",
                },
            ),
            Claim(
                "kpm forgets less of other knowledge than lora, pissa and milora",
                tuple(_losses(found, calibrated=False)),
                least_effects=len(RIVALS),
            ),
            Claim(
                "ipm answers more of the trained facts than lora",
                tuple(_learned(found, "ipm", (REFERENCE,))),
            ),
        ),
        details=(
            *_learned(found, "ipm", ("pissa", "milora")),
            *_learned(found, "kpm", RIVALS),
            *_drift(found),
        ),
        caveats=tuple(_caveats(found)),
        pictures=tuple(pictures.of_sections("pareto", found)),
    )


def _corda(setting: Setting, mode: str) -> list[Row]:
    return [
        row
        for row in setting.adapters().values()
        if adapter_name(row) == CORDA and _parameter(setting, row, "mode") == mode
    ]


def _rivals(setting: Setting, names: Iterable[str]) -> list[Row]:
    return [row for name, row in setting.adapters().items() if name in names]


def _parameter(setting: Setting, row: Row, name: str) -> object:
    recipe = setting.recipe(row)
    return getattr(recipe.adapter, name, None) if recipe else None


def calibrated_tasks(setting: Setting, row: Row) -> tuple[str, ...]:
    """Return the knowledge tasks a row calibrated on: of `auto`, all that may be forgotten."""
    source = str(_parameter(setting, row, "calibration"))
    if source == "train":
        return ()
    if source != "auto":
        return (source,)
    return tuple(t for t in row.forgetting if t != DRIFT and not t.startswith(LM_EVAL_PREFIX))


def _losses(settings: list[Setting], *, calibrated: bool) -> tuple[Effect, ...]:
    return present(
        loss_difference(setting, rival, row, task)
        for setting in settings
        for row in _corda(setting, "kpm")
        for task in row.forgetting
        if task != DRIFT and (task in calibrated_tasks(setting, row)) is calibrated
        for rival in _rivals(setting, RIVALS)
    )


def loss_difference(setting: Setting, first: Row, second: Row, task: str) -> Effect | None:
    """Return what `first` forgets minus what `second` does, per item; None at floor or unpaired."""
    seeds = shared_seeds([first, second])
    entries = [[_entry(row, seed, task) for seed in seeds] for row in (first, second)]
    present_ = [entry for side in entries for entry in side if entry is not None]
    at_floor = any(entry.at_floor for entry in present_)
    if not seeds or len(present_) < 2 * len(seeds) or at_floor:
        return None
    if len({entry.digest for entry in present_}) > 1:
        return None
    one, other = (_items(side) for side in (present_[: len(seeds)], present_[len(seeds) :]))
    what = task if task == DRIFT else f"forgotten of {task}"
    name = f"{what}: {first.label} - {second.label}"
    where = f"{setting.title}: {task}"
    make = paired_nats if task == DRIFT else paired
    return make(name, where, one, other)


def _entry(row: Row, seed: int, task: str) -> Forgetting | None:
    record = next(cell.record for cell in row.cells if cell.record.spec.seed == seed)
    return next((entry for entry in record.forgetting if entry.task == task), None)


def _items(entries: list[Forgetting]) -> Floats:
    return np.stack([item_losses(entry) for entry in entries])


def _learned(settings: list[Setting], mode: str, rivals: Iterable[str]) -> Iterator[Effect]:
    for setting in settings:
        for row in _corda(setting, mode):
            for rival in _rivals(setting, rivals):
                seeds = shared_seeds([row, rival])
                if seeds:
                    name = f"facts answered: {row.label} - {rival.label}"
                    yield paired(name, setting.title, values(row, seeds), values(rival, seeds))


def _drift(settings: list[Setting]) -> tuple[Effect, ...]:
    return present(
        loss_difference(setting, rival, row, DRIFT)
        for setting in settings
        for row in _corda(setting, "kpm")
        for rival in _rivals(setting, RIVALS)
    )


def _caveats(settings: list[Setting]) -> Iterator[str]:
    yield (
        "Forgetting less counts only at equal learning: see what kpm learns against the others "
        "in the table of further comparisons."
    )
    for setting in settings:
        floor = sorted(
            {
                task
                for row in setting.adapters().values()
                for task, found in row.forgetting.items()
                if found.at_floor
            }
        )
        if floor:
            yield f"{setting.title}: {', '.join(floor)} at floor, so nothing could be forgotten."
