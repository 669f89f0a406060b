"""Question 6: does CorDA keep more of the base than LoRA by the time both have learned the same?"""

from __future__ import annotations

from collections.abc import Iterator

from bench.pages.findings.answer import Answer, Question
from bench.pages.findings.claim import Claim, Effect, present
from bench.pages.findings.evidence import Evidence, Setting
from bench.pages.findings.planned import BAR, POINTS_COUNT, RATIO_COUNTS, STARTS
from bench.pages.findings.questions.against_lora import (
    DRIFTS,
    REFERENCE,
    SIGNS,
    at_own_rate,
    carried,
    drift_ratio,
    lost,
    price,
    remembered,
    several,
    starts,
    with_lora,
)
from bench.pages.findings.questions.levels import HALF, drifted, kept
from bench.pages.findings.questions.planned_settings import (
    BESIDE,
    MAIN,
    SMALLER,
    planned_seeds,
)
from bench.pages.findings.verdict import Needs, Verdict

QUESTION = Question(
    key="keeping",
    title="What CorDA keeps",
    asks="Does CorDA (kpm) drift less than LoRA when both have learned half of the facts?",
    compared="How many times as far LoRA has drifted as CorDA, in each seed where half of the "
    "unknown facts are learned by both, over 16 blocks of facts, as the mean of logarithms; 1.33 "
    "times is a quarter less drift. Other starts are compared with LoRA in the same way.",
    source="2406.05223: knowledge-preserving CorDA forgets less",
    expected=Verdict.YES,
    grids=("lora", "pissa", "keeping", "starts", "starts_astra", "gemma"),
)
KEEPS, SEEDS = "corda[calibration=countries]", 12
MOST = 0.9
COUNTRIES = f"{KEEPS} - {REFERENCE}, countries"
"""The comparison of the third claim."""


def answer(evidence: Evidence) -> Answer:
    """Compare drift at equal learning."""
    settings, with_all = (with_lora(evidence, like) for like in (MAIN, SMALLER))
    return Answer(
        question=QUESTION,
        claims=(
            Claim(
                "CorDA drifts less than LoRA when both have learned half of the facts",
                "ratio of drift",
                tuple(_kept(settings, KEEPS, HALF)),
                BAR * RATIO_COUNTS,
                planned=planned_seeds(settings, SEEDS),
                advice={
                    Verdict.YES: "To drift less from the base than lora, use corda, calibrated on "
                    f"facts to keep ({KEEPS}), {at_own_rate(settings, KEEPS)}"
                    + price(settings, KEEPS),
                    Verdict.NO: "Do not count on corda[mode=kpm] to stay close to the base: it "
                    "drifts as much as lora by the time it has learned as much",
                },
            ),
            Claim(
                "Some start drifts less than LoRA when both have learned half of the facts",
                "ratio of drift",
                tuple(e for name in several(with_all) for e in _kept(with_all, name, HALF)),
                BAR * RATIO_COUNTS,
                needs=Needs.ANY,
                least_rivals=STARTS,
            ),
            Claim(
                "In the end CorDA, which is calibrated on other countries, answers more questions "
                "about countries than LoRA does",
                "share of countries answered",
                present(remembered(s, KEEPS, "countries") for s in settings),
                BAR * POINTS_COUNT / 100,
            ),
        ),
        details=present(
            effect
            for setting in settings
            for name in starts(setting)
            for effect in (
                drift_ratio(setting, name, MOST),
                *(_beside(setting) if name == KEEPS else ()),
            )
        ),
        measured=tuple(
            effect
            for setting in settings
            for levels in (drifted, kept)
            for effect in levels(setting, setting.adapters())
        ),
        caveats=(
            "Drift is measured on texts of the base itself: less drift is less change, not more "
            "knowledge.",
            SIGNS,
            DRIFTS,
            "What the other starts lose of the base, and what they answer elsewhere, is compared "
            "in question 7.",
        ),
    )


def _beside(setting: Setting) -> tuple[Effect | None, ...]:
    """Compare CorDA with LoRA by what no claim does: what is lost, what is answered elsewhere."""
    rest = (effect for effect in lost(setting, KEEPS) if effect.name != COUNTRIES)
    return (*rest, *(carried(setting, KEEPS, asked) for asked in BESIDE))


def _kept(settings: list[Setting], method: str, share: float) -> Iterator[Effect]:
    yield from present(drift_ratio(setting, method, share) for setting in settings)
