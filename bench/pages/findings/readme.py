"""The README's block of findings: what a user can act on."""

from __future__ import annotations

from collections.abc import Sequence

from bench.pages.findings.tables import anchor, effect_text
from bench.pages.findings.verdict import Answer, Claim, Verdict
from bench.report.tables.format import markdown

BEGIN, END = "<!-- findings: begin -->", "<!-- findings: end -->"
MOST = 3


def with_findings(readme: str, answers: Sequence[Answer], page: str) -> str:
    """Return the README with its block replaced; unchanged if it has no block.

    Args:
        readme: The README's text.
        answers: All answers.
        page: The address of the findings page.
    """
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        return readme
    return f"{head}{BEGIN}\n{findings_block(answers, page)}{END}{tail}"


def findings_block(answers: Sequence[Answer], page: str) -> str:
    """Return at most three findings with advice; empty if nothing is decided.

    Each question is represented by one claim. Claims that hold come before claims that do not, both
    in the order of the questions.
    """
    advised = [
        (number, answer, claims[0])
        for number, answer in enumerate(answers, start=1)
        if (claims := sorted(filter(_advises, answer.claims), key=_is_no))
    ]
    advised.sort(key=lambda found: _is_no(found[2]))
    lines = [
        f"- **{claim.advice[claim.verdict]}.** {_ground(claim)} "
        f"([{markdown(answer.question.title)}]({page}#{anchor(number, answer)}))"
        for number, answer, claim in advised[:MOST]
    ]
    if not lines:
        return ""
    more = f"All questions, their intervals, and what small models cannot show: [findings]({page})."
    return "\n".join(["", "## Findings", "", *lines, "", more, "", ""])


def _advises(claim: Claim) -> bool:
    """Return whether a claim supports advice: it is decided and not contested."""
    if claim.contested:
        return False
    return claim.verdict in (Verdict.YES, Verdict.NO) and bool(claim.advice.get(claim.verdict))


def _is_no(claim: Claim) -> bool:
    return claim.verdict is Verdict.NO


def _ground(claim: Claim) -> str:
    effect = claim.headline
    assert effect is not None, "a decided claim has an effect"
    return (
        f"{markdown(effect.name)}: {effect_text(effect)}, {markdown(effect.setting)}, "
        f"{effect.seeds} seeds."
    )
