"""The README's block of findings: what a user can act on."""

from __future__ import annotations

from collections.abc import Sequence

from bench.pages.findings.answer import Answer
from bench.pages.findings.tables import anchor, below_what_counts, effect_text, places
from bench.pages.findings.verdict import Verdict
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

    Only primary claims lead to advice. Which method to use comes before what happens to facts
    with a given one; of each, claims that hold come before those that do not, in the order of the
    questions.
    """
    advised = [(number, answer) for number, answer in enumerate(answers, start=1) if answer.advice]
    advised.sort(key=lambda found: (bool(found[1].question.method), found[1].verdict is Verdict.NO))
    lines = [
        f"- **{markdown(answer.advice)}.** {_ground(answer)} "
        f"([{markdown(answer.question.title)}]({page}#{anchor(number, answer)}))"
        for number, answer in advised[:MOST]
    ]
    if not lines:
        return ""
    more = (
        "Facts are learned when they are answered as they were asked in training; countries and "
        "elements are sets of questions about the world that these trainings did not contain. All "
        "questions, their intervals, and what small models cannot show: "
        f"[findings]({page})."
    )
    return "\n".join(["", "## Findings", "", *lines, "", more, "", ""])


def _ground(answer: Answer) -> str:
    rival = answer.primary.headline
    assert rival is not None, "a decided claim has an effect"
    outcome = answer.primary.outcome
    least = below_what_counts(answer.primary)
    short = f", below {least}, the smallest effect that counts" if least else ""
    return (
        f"{outcome[0].upper()}{outcome[1:]}, {markdown(rival.name)}: {effect_text(rival)}{short}; "
        f"{markdown(places(rival))}, {rival.seeds} seeds."
    )
