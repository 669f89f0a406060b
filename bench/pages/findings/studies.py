"""The studies behind the findings, with the options they were run with."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from bench.pages.findings.grids import GPU_MODEL, GPU_RESULTS
from bench.store.records import CellSpec


@dataclass(frozen=True)
class FindingStudy:
    """One call of a study.

    Attributes:
        name: Of the study; its questions name it.
        about: What it is for.
        task: What it trains on.
        sizes: How many facts are trained together.
        measured: So many facts are measured.
    """

    name: str
    about: str
    task: str
    sizes: tuple[int, ...]
    measured: int

    @property
    def command(self) -> str:
        """What repeats it here."""
        return shlex.join([*self._words, "--out", "results/findings"])

    @property
    def gpu_command(self) -> str:
        """What runs the same on a GPU and a model of the hub."""
        words = ["--model", GPU_MODEL, "--device", "cuda", "--out", GPU_RESULTS]
        return shlex.join([*self._words, *words])

    @property
    def _words(self) -> list[str]:
        sizes = ",".join(map(str, self.sizes))
        words = ["nox", "-s", "bench", "--", "study", self.name, "--task", self.task]
        return [*words, "--sizes", sizes, "--measured", str(self.measured), "--seeds", "0-2"]

    def holds(self, spec: CellSpec) -> bool:
        """Return whether a training is of this call."""
        return spec.task == self.task


STUDIES = (
    FindingStudy(
        name="interference",
        about="Questions 2 and 3: facts alone and together.",
        task="countries",
        sizes=(1, 10, 50),
        measured=50,
    ),
)
