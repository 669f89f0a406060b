"""The page: answers put into `page.md.jinja`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from tabulate import tabulate

from bench.config.options import RunOptions
from bench.pages.findings import tables
from bench.pages.findings.checks import checks
from bench.pages.findings.evidence import Evidence
from bench.pages.findings.figure import Picture
from bench.pages.findings.grids import Grid, took
from bench.pages.findings.studies import STUDIES
from bench.pages.findings.verdict import LEAST_SEEDS, POINTS, WIDE_POINTS, Answer, Verdict
from bench.report.tables.format import duration, markdown
from bench.store.records import Status

NOTES = "notes"
"""The folder of findings that holds `<question>.md`: what else was checked, in words."""

_LIMITS = (
    "A base of 135 or 270 million parameters knows little, and learns each of some dozens of facts "
    "by heart within minutes. What a method does to much knowledge, how facts interfere in the "
    "thousands, which layers of a deep network hold what, and how much a large model forgets, it "
    "cannot show: an answer here is about small models, and a model of 7 billion parameters may "
    "answer otherwise. What does carry over is how to ask: the same grids run on larger models "
    "with one command each, at the end of this page."
)


@dataclass(frozen=True)
class SectionView:
    """One question as the template shows it; all texts are Markdown."""

    answer: Answer
    run: bool
    claims: str
    said: tuple[str, ...]
    effects: str
    measured: str
    details: str
    caveats: tuple[str, ...]
    checks_title: str
    checks: tuple[str, ...]
    note: str
    commands: str
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
        evidence: What the answers are made of.
        answers: In the order of the page.
        pictures: Of each answer, in its order.
        folder: Of the findings.
        docs: Where the page is written.
    """
    sections = [
        _section(answer, evidence, drawn, folder)
        for answer, drawn in zip(answers, pictures, strict=True)
    ]
    return _template().render(
        run=bool(evidence.records or evidence.companies),
        done=sum(record.status is Status.DONE for record in evidence.records),
        trainings=sum(len(company.trained) for company in evidence.companies),
        results=folder.as_posix(),
        address=Path(os.path.relpath(folder, docs)).as_posix(),
        summary=tables.summary_table(answers),
        limits=_LIMITS,
        sections=sections,
        grids=_grids(evidence),
        machines=_machines(evidence),
        gpu=_gpu_commands(evidence),
        problems=evidence.problems,
    )


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
    environment.globals.update(
        Verdict=Verdict,
        POINTS=POINTS,
        WIDE_POINTS=WIDE_POINTS,
        LEAST_SEEDS=LEAST_SEEDS,
        points=lambda share: f"{100 * share:g}",
    )
    return environment.get_template("page.md.jinja")


def _section(
    answer: Answer, evidence: Evidence, pictures: Sequence[Picture], folder: Path
) -> SectionView:
    run = any(claim.effects for claim in answer.claims)
    contradicts = answer.contradicts
    return SectionView(
        answer=answer,
        run=run,
        claims=tables.claims_table(answer.claims),
        said=tuple(tables.said(claim) for claim in answer.claims if len(claim.settings) > 1),
        effects=tables.effects_table(answer.claims),
        measured=tables.details_table(answer.measured, tested=False),
        details=tables.details_table(answer.details, tested=True),
        caveats=answer.caveats,
        checks_title="This contradicts the paper: what was checked of ours first"
        if contradicts
        else "What was checked",
        checks=checks(answer, evidence) if run else (),
        note=_note(folder, answer),
        commands=_commands(answer, evidence),
        pictures=tuple(pictures),
    )


def _note(folder: Path, answer: Answer) -> str:
    path = folder / NOTES / f"{answer.question.key}.md"
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def _commands(answer: Answer, evidence: Evidence) -> str:
    by_name = {grid.name: grid.command for grid in evidence.grids}
    by_name |= {study.name: study.command for study in STUDIES}
    lines = [by_name[name] for name in answer.question.grids if name in by_name]
    return "\n".join(["```sh", *lines, "```"]) if lines else "No grid file is committed for it."


def _gpu_commands(evidence: Evidence) -> list[str]:
    """Return the commands of the grids on the default model, and of the studies."""
    default = RunOptions.model_fields["models"].default
    grids = [grid.gpu_command for grid in evidence.grids if grid.options.models == default]
    return [*grids, *(study.gpu_command for study in STUDIES)]


def _grids(evidence: Evidence) -> str:
    lines = [_grid_line(grid, evidence) for grid in evidence.grids]
    for study in STUDIES:
        mine = [c for c in evidence.companies if study.holds(c.spec)]
        trained = sum(len(company.trained) for company in mine)
        seconds = sum(company.seconds for company in mine)
        lines.append(_line(study.command, study.about, f"{trained} trainings", trained, seconds))
    headers = ["command", "for", "done", "took"]
    return tabulate(lines, headers, tablefmt="pipe", disable_numparse=True)


def _grid_line(grid: Grid, evidence: Evidence) -> list[str]:
    found = took(grid, evidence.records)
    return _line(
        grid.command, grid.about, f"{found.done} of {grid.cells} cells", found.ran, found.seconds
    )


def _line(command: str, about: str, done: str, count: int, seconds: float) -> list[str]:
    told = [done, duration(seconds)] if count else ["not run yet", "-"]
    return [f"`{command}`", markdown(about), *told]


def _machines(evidence: Evidence) -> str:
    found = {
        f"{name} ({threads} {'thread' if threads == 1 else 'threads'})"
        for record in evidence.records
        if (name := record.provenance.get("device_name"))
        and (threads := record.provenance.get("threads"))
    }
    return f", on {'; '.join(sorted(found))}" if found else ""
