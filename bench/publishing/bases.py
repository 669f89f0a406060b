"""What the base of an adapter is called outside of this machine, and how to load it.

A record names its base as it was typed: a name of the registry, an id of the hub, or a folder. Only
an id of the hub means something to others. The embedded models are quantised copies of models on
the hub, so that an adapter for them is not quite one for those.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from bench.models.registry import EMBEDDED
from bench.store.records import CellSpec
from tasks.errors import UsageError


class Origin(NamedTuple):
    """The model on the hub that an embedded one was made of, and the hub's name of its licence."""

    repository: str
    licence: str


ORIGINS = {
    "smollm2-135m": Origin("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0"),
    "gemma3-270m": Origin("google/gemma-3-270m", "gemma"),
}
"""By the names of the registry."""


@dataclass(frozen=True)
class BaseName:
    """The base of an adapter in words that others understand.

    Attributes:
        name: As it was given; the last part of a path.
        kind: Where it came from.
        repository: Its id on the hub, or that of the model it was made of; empty if it has none.
        revision: The commit on the hub that was trained on; empty if that is not known.
        licence: The hub's name of its licence; empty if it is not known here.
    """

    name: str
    kind: Literal["embedded", "folder", "hub"]
    repository: str = ""
    revision: str = ""
    licence: str = ""

    @property
    def loading(self) -> str:
        """Python that binds the model to `base`."""
        if self.kind == "embedded":
            return f'base = load_base("{self.name}").model'
        where = f'"{self.repository}"' if self.repository else '"PATH_OF_THE_BASE"'
        pinned = f', revision="{self.revision}"' if self.revision else ""
        return f"base = AutoModelForCausalLM.from_pretrained({where}{pinned})"

    @property
    def importing(self) -> str:
        """Python that imports what `loading` needs."""
        if self.kind == "embedded":
            return "from bench.models.loading import load_base"
        return "from transformers import AutoModelForCausalLM"


def base_name(spec: CellSpec, repository: str = "") -> BaseName:
    """Return how others call the base of a cell.

    Args:
        spec: The cell.
        repository: Its id on the hub, for a base that was read from a folder.
    """
    name = spec.model
    if name in EMBEDDED:
        origin = ORIGINS.get(name, Origin("", ""))
        return BaseName(name, "embedded", repository or origin.repository, licence=origin.licence)
    if Path(name).is_dir() or name.startswith((".", "/", "~")) or name.count("/") != 1:
        return BaseName(Path(name).name, "folder", repository)
    return BaseName(name, "hub", repository or name, "" if repository else spec.model_revision)


def refuse_unnamed(base: BaseName) -> None:
    """Refuse a base that nobody else could find.

    Raises:
        UsageError: It was read from a folder.
    """
    if not base.repository:
        raise UsageError(
            f"the base '{base.name}' was read from a folder, which others do not have: name it on "
            "the hub, as in --base ORGANISATION/NAME"
        )
