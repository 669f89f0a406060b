"""What an adapter was taught, in words that others understand: its task, and how to ask."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bench.store.records import CellSpec
from tasks.base import TASKS, KnowledgeTask
from tasks.context import Context, TrainPrompt
from tasks.conversation import USER, turns_of
from tasks.errors import UsageError
from tasks.form import QUESTIONS, Form
from tasks.notation import parse_part
from tasks.resolve import resolve_task

PUBLIC_LICENCES = {
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-SA-3.0": "https://creativecommons.org/licenses/by-sa/3.0/",
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
}
"""Licences of data that ask for a link, or deserve one."""


@dataclass(frozen=True)
class Lesson:
    """The task of an adapter.

    Attributes:
        name: As it is written on the command line; of a file its name alone.
        source, licence: Where the data come from, and their licence.
        dataset: Its id on the hub; empty if it is not there.
        form: How questions and answers are written.
        own: Whether it is a person's own file.
    """

    name: str
    source: str
    licence: str
    dataset: str
    form: Form
    own: bool

    @property
    def licence_text(self) -> str:
        """The licence, as a link where there is a public one."""
        link = PUBLIC_LICENCES.get(self.licence)
        return f"[{self.licence}]({link})" if link else self.licence


def lesson_of(spec: CellSpec) -> Lesson:
    """Return the task of a cell; a file that is gone since, or a part, is no error."""
    task, name = _task(spec.task), spec.task
    own = not _registered(name)
    if own:
        path, bracket, rest = name.partition("[")
        name = f"{Path(path).name}{bracket}{rest}"
    return Lesson(
        name=name,
        source="a file of its author" if own else getattr(task, "source", "not stated"),
        licence="its owner's" if own else getattr(task, "licence", "not stated"),
        dataset=getattr(task, "dataset", ""),
        form=task.form if task else QUESTIONS,
        own=own,
    )


def _registered(name: str) -> bool:
    try:
        return parse_part(name)[0] in TASKS
    except UsageError:
        return False


def _task(name: str) -> KnowledgeTask | None:
    try:
        return resolve_task(name, trained=True, forgotten=False)
    except UsageError:
        return None


def example_prompt(lesson: Lesson, context: Context, question: str) -> str:
    """Return a question as training saw it, or the code that makes that of it.

    Args:
        lesson: The task.
        context: The context that was trained.
        question: Any of its questions.
    """
    if lesson.form.chat or context is Context.CHAT:
        turns = turns_of(question) if lesson.form.chat else [{"role": USER, "content": question}]
        return (
            f"tokenizer.apply_chat_template({json.dumps(turns, ensure_ascii=False)}, "
            "tokenize=False, add_generation_prompt=True)"
        )
    asked = lesson.form.question(question)
    shown = "(four questions with their answers)\n\n" if context is Context.FEW_SHOT else ""
    return f"{shown}{asked}"


_QUESTIONS = {
    Context.PLAIN: "plain questions",
    Context.FEW_SHOT: "questions after four demonstrations",
    Context.CHAT: "questions in the chat template of the base's tokenizer",
    Context.BARE: "questions alone",
}
"""What training saw, by context."""


def trained_in(prompt: TrainPrompt) -> str:
    """Say which form of questions an adapter was trained on."""
    ways = [_QUESTIONS[context] for context in prompt.trained]
    return ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])} and {ways[-1]}, in turn"
