"""The README's block of findings that a user can act on."""

from __future__ import annotations

from collections.abc import Sequence

from bench.findings.answer import Answer, Claim, Verdict
from bench.findings.tables import anchor, effect_text
from bench.report.wording import markdown

BEGIN, END = "<!-- findings: begin -->", "<!-- findings: end -->"
MOST = 3


def with_findings(readme: str, answers: Sequence[Answer], page: str) -> str:
    """Return the README with its block written anew; unchanged where it has no block.

    Args:
        readme: Its text.
        answers: All of them.
        page: Address of the page.
    """
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        return readme
    return f"{head}{BEGIN}\n{findings_block(answers, page)}{END}{tail}"


def findings_block(answers: Sequence[Answer], page: str) -> str:
    """Return what there is advice for, at most three findings; empty where nothing is decided."""
    lines = [
        f"- **{advice}.** {_ground(claim)} ([{markdown(answer.question.title)}]"
        f"({page}#{anchor(number, answer)}))"
        for number, answer in enumerate(answers, start=1)
        for claim in answer.claims
        if claim.verdict in (Verdict.YES, Verdict.NO)
        and (advice := claim.advice.get(claim.verdict))
    ][:MOST]
    if not lines:
        return ""
    more = f"All questions, intervals and what small models cannot tell: [findings]({page})."
    return "\n".join(["", "## Findings", "", *lines, "", more, "", ""])


def _ground(claim: Claim) -> str:
    effect = claim.headline
    assert effect is not None, "a decided claim has an effect"
    return (
        f"{markdown(effect.name)}: {effect_text(effect)}, {markdown(effect.setting)}, "
        f"{effect.seeds} seeds."
    )
