"""Your own texts as a task: a .txt or .md file, or a folder of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.base import DataAccess, Shares
from tasks.documents.passages import read_passages
from tasks.documents.texts import Learn, TextTask, refuse_shown
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.files import FileTask
from tasks.notation import canonical


@dataclass(frozen=True, kw_only=True)
class OwnTexts(TextTask):
    """Passages of your own texts, and the questions of a facts file about them.

    Without questions the texts are trained all the same, and only what is forgotten is measured.
    All passages are trained, whatever the limit: it counts questions.

    Attributes:
        path: The file or folder, as it was written.
        questions: A facts file in any form that is read; empty if nothing is asked.
    """

    source = "texts"
    licence = "its owner's"

    path: str
    questions: str = ""

    @property
    def name(self) -> str:
        """The path with its parameters, as it is written on the command line."""
        return canonical(self, self.path, defaults=False, without={"path"})

    @property
    def family(self) -> str:
        """The same for all files, so that moving one does not change how facts are divided."""
        return "file"

    @property
    def shares(self) -> Shares:
        """All of it is trained or asked."""
        return Shares(train=1.0, calibration=0.0, forget=0.0)

    def passages(self, access: DataAccess) -> Sequence[Fact]:
        """Read the texts."""
        return read_passages(Path(self.path).expanduser())

    def asked(self, access: DataAccess) -> Sequence[Fact]:
        """Read the questions."""
        return FileTask(self.questions).load(access) if self.questions else ()

    def load(self, access: DataAccess) -> Sequence[Fact]:
        """Read texts and questions, and check them against each other.

        Raises:
            UsageError: A file is not as it should be, a text asks a question itself, or questions
                should be trained and there are none.
        """
        if self.learn is not Learn.TEXTS and not self.questions:
            raise UsageError(f"'{self.name}' trains questions: name their file with --questions")
        passages, asked = self.passages(access), tuple(self.asked(access))
        refuse_shown(self.questions, passages, asked)
        return asked if self.learn is Learn.QUESTIONS else (*passages, *asked)
