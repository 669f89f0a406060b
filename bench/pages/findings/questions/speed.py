"""Question 7: does PiSSA learn faster than LoRA?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.pages.findings.answer import Answer, Picture, Question
from bench.pages.findings.claim import Claim, Effect, present
from bench.pages.findings.effects import paired
from bench.pages.findings.evidence import Evidence, Setting, shared_seeds
from bench.pages.findings.pictures import learning
from bench.pages.findings.questions.keeping import HALF, drift_ratio
from bench.pages.findings.questions.planned_settings import (
    ASKED,
    EPOCHS_BAR,
    SMALLER,
    answered,
    epochs_of,
    epochs_saved,
    planned_seeds,
    planned_settings,
)
from bench.pages.findings.verdict import Needs, Verdict
from bench.report.statistics.comparison import LEVEL
from tasks.context import Context

QUESTION = Question(
    key="speed",
    title="How fast adapters learn",
    asks="Does PiSSA learn facts in fewer epochs than LoRA, each at its own learning rate?",
    compared="Epochs to learn, LoRA less PiSSA, of facts that the base did not answer, paired by "
    "fact and seed. Every other adapter is compared with LoRA as well, either way.",
    source="2404.02948: PiSSA converges faster than LoRA",
    expected=Verdict.YES,
    grids=("lora", "pissa", "keeping", "starts", "starts_astra", "gemma"),
)
REFERENCE, FASTER, SEEDS = "lora", "pissa", 12


def answer(evidence: Evidence) -> Answer:
    """Compare epochs to learn, and what they cost."""
    settings = planned_settings(evidence)
    drift = present(drift_ratio(s, FASTER, HALF) for s in settings if REFERENCE in s.rows)
    with_all = planned_settings(evidence, SMALLER)
    rivals = sorted({name for s in with_all for name in s.adapters()} - {REFERENCE})
    several = rivals if len(rivals) > 1 else []  # one alone says nothing of others
    bare = tuple(_carried(settings, FASTER, Context.BARE))
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "PiSSA learns facts in fewer epochs than LoRA",
                "epochs to learn",
                tuple(epochs_saved(settings, REFERENCE, FASTER)),
                EPOCHS_BAR,
                planned=planned_seeds(settings, SEEDS),
                advice={
                    Verdict.YES: "To learn facts in fewer epochs, use pissa instead of lora"
                    + _price(drift, bare),
                    Verdict.NO: "Do not choose pissa over lora to learn facts faster: tune the "
                    "learning rate of either",
                },
            ),
            Claim(
                "Some adapter learns faster or slower than LoRA",
                "epochs to learn",
                tuple(e for name in several for e in epochs_saved(with_all, REFERENCE, name)),
                EPOCHS_BAR,
                needs=Needs.ANY,
                two_sided=True,
            ),
        ),
        details=(
            *drift,
            *(
                effect
                for name in rivals
                for asked in (Context.FEW_SHOT, Context.BARE, None)
                for effect in _carried(with_all, name, asked)
            ),
        ),
        caveats=(
            "A fact that is not learned counts as if it were learned one epoch after the last.",
            "The answer is about the trained prompt; what is carried over to others is compared "
            "below it and decides nothing.",
        ),
        pictures=tuple(_curves(setting) for setting in settings if FASTER in setting.rows),
    )


def _price(drift: Sequence[Effect], bare: Sequence[Effect]) -> str:
    """Say what learning sooner costs, so far as that is clear."""
    prices = {
        "that it drifts further by the time half of them are learned": drift,
        "fewer answers when the question is asked without the trained prompt": bare,
    }
    found = [price for price, effects in prices.items() if effects and all(map(_costs, effects))]
    return f", but expect {' and '.join(found)}" if found else ""


def _costs(effect: Effect) -> bool:
    return effect.p is not None and effect.p <= LEVEL and effect.value < 0


def _carried(settings: list[Setting], name: str, asked: Context | None) -> Iterator[Effect]:
    """Compare an adapter with LoRA by what is answered in a context after the last epoch."""
    for setting in settings:
        if REFERENCE in setting.rows and name in setting.rows:
            rows = setting.rows[name], setting.rows[REFERENCE]
            seeds = shared_seeds(rows)
            pair = answered(rows, seeds, asked) if seeds else None
            if pair is not None:
                yield paired(f"{name} - {REFERENCE}, {ASKED[asked]}", setting.title, *pair)


def _curves(setting: Setting) -> Picture:
    rows = setting.adapters()
    groups = {name: epochs_of(row, row.seeds) for name, row in rows.items()}
    name = f"speed-{setting.spec.model}"
    return learning(name, "Learning by adapter", setting.title, groups, setting.spec.epochs)
