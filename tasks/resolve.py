"""Finds the task that a person names after `--tasks` or `--forgetting`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tasks.base import TASKS, KnowledgeTask
from tasks.documents.own_texts import OwnTexts
from tasks.documents.passages import TEXT_SUFFIXES, is_text_path
from tasks.errors import UsageError, nearest
from tasks.files import FileRole, FileTask
from tasks.labels.own_labels import OwnLabels, is_labelled
from tasks.notation import (
    build_part,
    parameters_of,
    parse_parameters,
    parse_part,
    split_outside_brackets,
)
from tasks.rows import SUFFIXES, unknown_type
from tasks.skill_file import KINDS, SkillFile

_BRACKETED = re.compile(r"(?P<path>.+)\[(?P<parameters>[^\[\]]*)\]", re.DOTALL)


def resolve_task(text: str, *, trained: bool, forgotten: bool) -> KnowledgeTask:
    """Return the task called `text`, or the task of the facts file at that path.

    Only names are checked, and of a file the columns: torch is not imported.

    Args:
        text: `countries`, `fictional[n=1000]`, or a path to a .jsonl, .json or .csv file; with
            `[as=alpaca]` or `[as=chat]` behind it, of examples of a skill; or to a text (.txt, .md,
            or a folder of these), with parameters behind it: `a.md[learn=both]`. A file with the
            columns `text` and `label` is of labelled texts: `a.csv`, `a.csv[balanced=true]`.
        trained: Whether the run trains on the task.
        forgotten: Whether the run measures forgetting on the task.

    Raises:
        UsageError: There is no such task or file; near names are suggested.
    """
    text = text.strip()
    if skill := _skill_file(text):
        return skill
    if texts := _own_texts(text):
        return texts
    if labels := _own_labels(text):
        return labels
    if _is_path(text):
        return FileTask(_checked_path(text), _role(trained, forgotten))
    name, written = parse_part(text)
    if name not in TASKS and (Path(text).is_file() or Path(text).suffix):
        raise UsageError(_unknown_type(text))
    return build_part(TASKS[name], name, written)


def split_names(text: str) -> list[str]:
    """Split a list of tasks at its commas, except at those in the name of a file that exists."""
    if Path(text.strip()).expanduser().is_file():
        return [text.strip()]
    pieces = split_outside_brackets(text, ",")
    names: list[str] = []
    while pieces:
        # The longest file wins: `a,b.csv` is one file even if there is a file `b.csv`.
        sizes = range(len(pieces), 1, -1)
        size = next((size for size in sizes if _joined_file(text, pieces[:size])), 1)
        names.append(_joined_file(text, pieces[:size]) or pieces[0])
        pieces = pieces[size:]
    return names


def _joined_file(text: str, pieces: list[str]) -> str:
    """Return the file whose name these pieces of a list make up together, or an empty text."""
    pattern = r"\s*,\s*".join(map(re.escape, pieces))
    written = (found.group() for found in re.finditer(pattern, text))
    return next((name for name in written if Path(name).expanduser().is_file()), "")


def _skill_file(text: str) -> SkillFile | None:
    """Return the examples in a file that is named with brackets; None for any other name."""
    written = _BRACKETED.fullmatch(text)
    if written is None or Path(text).is_file():
        return None
    path, parameters = written["path"], parse_parameters(written["parameters"], text)
    if Path(path).suffix.lower() not in SUFFIXES:
        return None
    if "as" not in parameters and is_labelled(Path(path).expanduser()):
        return None
    kind = parameters.pop("as", "")
    if kind not in KINDS:
        ways = " or ".join(f"{path}[as={name}]" for name in KINDS)
        raise UsageError(f"'{text}': write {ways}, or leave out the brackets for a file of facts")
    known = {*parameters_of(KINDS[kind])} - {"path"}
    if unknown := [name for name in parameters if name not in known]:
        takes = ", ".join(sorted(known))
        raise UsageError(f"'{path}' has no parameter '{unknown[0]}': it takes as, {takes}")
    return build_part(KINDS[kind], path, {**parameters, "path": _checked_path(path)})


def _own_labels(text: str) -> OwnLabels | None:
    """Return the labelled texts of a file, which may have parameters behind it; else None."""
    written = None if Path(text).is_file() else _BRACKETED.fullmatch(text)
    path = written["path"] if written else text
    if Path(path).suffix.lower() not in SUFFIXES or not is_labelled(Path(path).expanduser()):
        return None
    parameters = parse_parameters(written["parameters"], text) if written else {}
    if "path" in parameters:
        raise UsageError(f"'{text}': the path stands before the brackets")
    return build_part(OwnLabels, path, {**parameters, "path": path})


def with_questions(text: str, questions: str) -> str:
    """Return the name of a task with a file of questions, if it is a text that has none yet."""
    task = _own_texts(text.strip())
    if task is None or task.questions:
        return text
    named = replace(task, questions=questions).name
    if {*questions} & {*"[],"} or _own_texts(named) is None:
        raise UsageError(
            f"--questions '{questions}': a name with a comma or brackets cannot stand in the name "
            "of a task; rename the file"
        )
    return named


def is_own_text(text: str) -> bool:
    """Return whether a task is a person's own text."""
    return _own_texts(text.strip()) is not None


def _own_texts(text: str) -> OwnTexts | None:
    """Return the texts of a path, which may have parameters behind it; None for other names."""
    if text.partition("[")[0] in TASKS:
        return None
    if Path(text).suffix.lower() in TEXT_SUFFIXES or _is_texts(text):
        return OwnTexts(path=_checked_path(text, TEXT_SUFFIXES))
    written = _BRACKETED.fullmatch(text)
    if written is None or not _is_texts(written["path"]):
        return None
    parameters = parse_parameters(written["parameters"], text)
    path = _checked_path(written["path"], TEXT_SUFFIXES)
    task = build_part(OwnTexts, path, {**parameters, "path": path})
    if task.questions:
        _checked_path(task.questions)
    return task


def _is_texts(text: str) -> bool:
    path = Path(text).expanduser()
    return path.suffix.lower() in TEXT_SUFFIXES or (path.is_dir() and is_text_path(path))


def _role(trained: bool, forgotten: bool) -> FileRole:
    if trained and forgotten:
        return FileRole.BOTH
    return FileRole.FORGOTTEN if forgotten else FileRole.TRAINED


def _is_path(text: str) -> bool:
    if text.partition("[")[0] in TASKS:
        return False
    separators = tuple(filter(None, (os.sep, os.altsep)))
    return Path(text).suffix.lower() in SUFFIXES or any(s in text for s in separators)


def _checked_path(text: str, suffixes: Sequence[str] = SUFFIXES) -> str:
    path = Path(text).expanduser()
    if path.is_file():
        if path.suffix.lower() not in suffixes:
            raise UsageError(_unknown_type(text))
        return text
    if path.is_dir():
        if suffixes is TEXT_SUFFIXES:
            return text
        raise UsageError(
            f"'{text}' is a folder without texts ({', '.join(TEXT_SUFFIXES)}): name a file in it "
            f"that ends in {', '.join(SUFFIXES)}"
        )
    raise UsageError(f"no file '{text}'{_near_file(path, suffixes)}")


def _near_file(path: Path, suffixes: Sequence[str]) -> str:
    """Return a hint at a file beside it, or at a task, with a similar name."""
    if not path.parent.is_dir():
        return f": there is no folder '{path.parent}'"
    files = [file for file in path.parent.iterdir() if file.suffix.lower() in suffixes]
    files = [file for file in files if file.name != path.name]  # a link to nowhere
    close = nearest(path.name, [file.name for file in files]) or nearest(path.stem, TASKS.names())
    return f": did you mean {' or '.join(close)}?" if close else ""


def _unknown_type(text: str) -> str:
    return f"'{text}': {unknown_type(Path(text).suffix)}"
