"""Writes the page, its pictures and the README's block of findings from a folder of results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.pages.findings.answer import Answer, Picture, corrected_answer
from bench.pages.findings.effects_figure import of_effects
from bench.pages.findings.evidence import Evidence, read_evidence
from bench.pages.findings.page import findings_page
from bench.pages.findings.readme import with_findings
from bench.report.plots._style import image, settings
from bench.store import atomic
from tasks.errors import UsageError

PAGE = "findings.md"
PICTURES = "findings"

Question = Callable[[Evidence], Answer]
"""A function that answers one question from everything that was read."""


@dataclass(frozen=True)
class Findings:
    """Everything that the page is made from: the results, the answers, the pictures of each."""

    evidence: Evidence
    answers: tuple[Answer, ...]
    pictures: tuple[tuple[Picture, ...], ...]


@dataclass(frozen=True)
class FindingsFiles:
    """The files that were written; `readme` is None if there is no README."""

    page: Path
    pictures: tuple[Path, ...]
    readme: Path | None
    answers: tuple[Answer, ...]
    problems: tuple[str, ...]


def read_findings(folder: Path, questions: Sequence[Question]) -> Findings:
    """Read a folder of findings and answer all questions, each corrected for its comparisons.

    Raises:
        UsageError: There is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"no folder '{folder}': give the folder of findings with --out")
    evidence = read_evidence(folder)
    answers = tuple(corrected_answer(ask(evidence)) for ask in questions)
    drawn = [(of_effects(answer), *answer.pictures) for answer in answers]
    pictures = _told_apart([[picture for picture in found if picture] for found in drawn])
    return Findings(evidence, answers, pictures)


def _told_apart(pictures: Sequence[Sequence[Picture]]) -> tuple[tuple[Picture, ...], ...]:
    """Number pictures that share a name, as those of a second base do: each is a file."""
    times: Counter[str] = Counter()
    found = []
    for of_answer in pictures:
        own = []
        for picture in of_answer:
            times[picture.name] += 1
            number = times[picture.name]
            name = picture.name if number == 1 else f"{picture.name}-{number}"
            own.append(replace(picture, name=name))
        found.append(tuple(own))
    return tuple(found)


def page_text(found: Findings, folder: Path, docs: Path) -> str:
    """Return the page's text; the same files always give the same text."""
    return findings_page(found.evidence, found.answers, found.pictures, folder, docs)


def write_findings(folder: Path, docs: Path, questions: Sequence[Question]) -> FindingsFiles:
    """Write `findings.md` and `findings/` below `docs`, and the README's block of findings.

    Pictures that are no longer on the page are removed.

    Args:
        folder: The folder of findings, which holds the results.
        docs: The folder of the page; the README lies beside this folder.
        questions: What is asked, in the order of the page.

    Raises:
        UsageError: There is no such folder, it answers no question or holds a damaged file, or a
            file cannot be written. What was written before stays as it is, but for the last case.
    """
    found = read_findings(folder, questions)
    evidence = found.evidence
    if evidence.damaged:
        raise UsageError(
            f"{len(evidence.damaged)} of the results in '{folder}' cannot be read, the first is "
            f"{evidence.damaged[0]}: restore them; nothing was written"
        )
    if not any(claim.effects for answer in found.answers for claim in answer.claims):
        raise UsageError(
            f"'{folder}' holds no results that answer a question: give the folder of findings with "
            "--out, or run a grid of configs/findings into it; nothing was written"
        )
    page = page_text(found, folder, docs)
    try:
        docs.mkdir(parents=True, exist_ok=True)
        return FindingsFiles(
            page=atomic.write(docs / PAGE, page),
            pictures=_draw(found.pictures, docs / PICTURES),
            readme=_readme(docs, found.answers),
            answers=found.answers,
            problems=evidence.problems,
        )
    except OSError as error:
        raise UsageError(
            f"cannot write the findings to '{docs}': {error.strerror}; give a folder with --docs"
        ) from error


def _draw(pictures: Sequence[Sequence[Picture]], folder: Path) -> tuple[Path, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with settings():
        for picture in (picture for group in pictures for picture in group):
            figure = picture.draw()
            written.append(atomic.write(folder / f"{picture.name}.png", image(figure, "png")))
    for path in folder.glob("*.png"):
        if path not in written:
            path.unlink()
    return tuple(written)


def _readme(docs: Path, answers: Sequence[Answer]) -> Path | None:
    path = docs.parent / "README.md"
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    return atomic.write(path, with_findings(text, answers, f"{docs.name}/{PAGE}"))
