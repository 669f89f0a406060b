"""The findings page: answers filled into `page.md.jinja`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from bench.pages.findings import tables
from bench.pages.findings.answer import Answer, Picture
from bench.pages.findings.checks import checks
from bench.pages.findings.enough import power_as_seen, would_decide
from bench.pages.findings.evidence import Evidence
from bench.pages.findings.planned import GRIDS, STUDY
from bench.pages.findings.verdict import (
    DENIED,
    DENIED_NEAR_ONE,
    NEAR_ONE,
    Verdict,
)
from bench.report.tables.format import markdown
from bench.store.records import Status

NOTES = "notes"
"""The folder of findings with a hand-written note for a question, `<key>.md`."""


@dataclass(frozen=True)
class SectionView:
    """One question as the template shows it; all texts are Markdown."""

    answer: Answer
    run: bool
    claims: str
    remarks: tuple[str, ...]
    rivals: str
    effects: str
    measured: str
    details: str
    checks: tuple[str, ...]
    note: str
    commands: str
    minutes: int
    left: str
    left_minutes: int
    pictures: tuple[Picture, ...]


def findings_page(
    evidence: Evidence,
    answers: Sequence[Answer],
    pictures: Sequence[Sequence[Picture]],
    folder: Path,
    docs: Path,
) -> str:
    """Return the text of the page.

    Args:
        evidence: The results that the answers rest on.
        answers: In the order of the page.
        pictures: The pictures of each answer, in the same order.
        folder: The folder of findings.
        docs: The folder that the page is written to.
    """
    sections = [
        _section(answer, evidence, drawn, folder)
        for answer, drawn in zip(answers, pictures, strict=True)
    ]
    records = evidence.records
    done = [record for record in records if record.status is Status.DONE]
    machines = {
        f"{name} ({threads} {'thread' if threads == 1 else 'threads'})"
        for record in records
        if (name := record.provenance.get("device_name"))
        and (threads := record.provenance.get("threads"))
    }
    return _template().render(
        run=bool(records or evidence.trainings),
        trainings=sum(trained.record.status is Status.DONE for trained in evidence.trainings),
        reported=sum(not record.spec.is_candidate for record in done),
        candidates=sum(record.spec.is_candidate for record in done),
        results=folder.as_posix(),
        address=Path(os.path.relpath(folder, docs)).as_posix(),
        summary=tables.summary_table(answers),
        advice=tables.advice_list(answers),
        sections=sections,
        grids=tables.grids_table(evidence.grids, studied=bool(evidence.trainings)),
        grid_commands=_shell([grid.command for grid in evidence.grids]),
        bases=" and ".join(_bases(evidence)) or "small models",
        machines="; ".join(sorted(machines)),
        hours=f"{_hours(evidence):.1f}",
        problems=evidence.problems,
    )


def _hours(evidence: Evidence) -> float:
    """Return how long all cells and trainings took, as if one had followed another."""
    of_cells = (phase.seconds for r in evidence.records for phase in r.phases.values())
    of_trainings = (trained.record.seconds for trained in evidence.trainings)
    return (sum(of_cells) + sum(of_trainings)) / 3600


def _bases(evidence: Evidence) -> list[str]:
    """Return the bases that were trained."""
    cells = (record.spec for record in evidence.records)
    trained = (trained.record.spec.cell for trained in evidence.trainings)
    return sorted({spec.model for spec in (*cells, *trained)})


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("bench.pages.findings", "."),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,
    )
    environment.filters["md"] = markdown
    environment.filters["linked"] = _linked
    environment.globals.update(
        Verdict=Verdict,
        DENIED=DENIED,
        DENIED_NEAR_ONE=DENIED_NEAR_ONE,
        NEAR_ONE=NEAR_ONE,
        points=lambda share: f"{100 * share:g}",
    )
    return environment.get_template("page.md.jinja")


def _linked(text: str) -> str:
    """Make links of arXiv ids."""
    return re.sub(r"\b(\d{4}\.\d{5})\b", r"[\1](https://arxiv.org/abs/\1)", text)


def _section(
    answer: Answer, evidence: Evidence, pictures: Sequence[Picture], folder: Path
) -> SectionView:
    run = any(claim.effects for claim in answer.claims)
    note = folder / NOTES / f"{answer.question.key}.md"
    asked = answer.question
    grids = [grid for grid in evidence.grids if grid.name in asked.grids]
    left = [grid for grid in grids if run and not grid.run]
    commands = [grid.command for grid in grids if grid not in left]
    commands += [asked.study] if asked.study else []
    return SectionView(
        answer=answer,
        run=run,
        claims=tables.claims_table(answer.claims),
        remarks=(
            *(line for claim in answer.claims for line in tables.said(claim)),
            *filter(None, [would_decide(answer.primary), power_as_seen(answer.primary)]),
        ),
        rivals=tables.rivals_table(answer.claims),
        effects=tables.effects_table(answer.claims)
        if any(len(claim.settings) > 1 for claim in answer.claims)
        else "",
        measured=tables.details_table(answer.measured, tested=False),
        details=tables.details_table(answer.details, tested=True),
        checks=checks(answer, evidence) if run else (),
        note=note.read_text(encoding="utf-8").strip() if note.is_file() else "",
        commands=_shell(commands) if commands else "No grid file is committed for this question.",
        left=_shell([grid.command for grid in left]) if left else "",
        minutes=_minutes([*(g.name for g in grids if g not in left), asked.study and STUDY]),
        left_minutes=_minutes([grid.name for grid in left]),
        pictures=tuple(pictures),
    )


def _minutes(names: Sequence[str]) -> int:
    return round(sum(grid.minutes for grid in GRIDS if grid.name in names))


def _shell(commands: Sequence[str]) -> str:
    return "\n".join(["```sh", *commands, "```"])
