"""The registry of studies: a file here, or `<folder>/study.py`, whose class has `@study("name")`.

The class holds the study's options, see `bench.studies.options`. Names and first lines of help are
read from the files without importing them, so that help and `list` answer at once. A module may
import what its options need, such as pydantic; import torch, pandas and matplotlib inside `run`.
Installed packages add studies with the entry-point group `semantic_peft_bench.studies`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from tasks.errors import UsageError, unknown_name
from tasks.registry import Declared, declared, imported, installed

if TYPE_CHECKING:
    from bench.studies.options import StudyOptions

PACKAGE, GROUP = "bench.studies", "semantic_peft_bench.studies"

S = TypeVar("S", bound="type[StudyOptions]")

_loaded: dict[str, type[StudyOptions]] = {}


def study(name: str) -> Callable[[S], S]:
    """Return the decorator that registers a class of options as `python -m bench study NAME`."""

    def add(options: S) -> S:
        options.name = name
        _loaded[name] = options
        return options

    return add


def found_studies() -> dict[str, Declared]:
    """Return all studies by name, sorted.

    Raises:
        UsageError: Two studies have the same name.
    """
    found: dict[str, Declared] = {}
    places = [*declared(PACKAGE, "study"), *declared(PACKAGE, "study", "*/study.py")]
    places += [Declared(entry.name, entry.value, "") for entry in installed(GROUP)]
    for place in places:
        present = found.setdefault(place.name, place)
        if present is not place:
            raise UsageError(
                f"study '{place.name}' is registered twice: in {present.module} and "
                f"{place.module}; rename one"
            )
    return dict(sorted(found.items()))


def load_study(name: str) -> type[StudyOptions]:
    """Import a study and return its class of options.

    Raises:
        UsageError: There is no such study, it cannot be imported, or its class is not a study.
    """
    studies = found_studies()
    if name not in studies:
        raise unknown_name("study", name, studies)
    place = studies[name].module
    try:
        imported(place.partition(":")[0])
    except UsageError as error:
        raise UsageError(f"study '{name}' from {error}") from error
    from bench.studies.options import StudyOptions

    kind = _loaded.get(name)
    if kind is None:
        raise UsageError(
            f"study '{name}' ({place}) is not registered: write @study(\"{name}\") above its class"
        )
    if not (isinstance(kind, type) and issubclass(kind, StudyOptions)):
        raise UsageError(
            f"study '{name}' ({place}) is not a class of options: let its class "
            "inherit from StudyOptions, see bench/studies/options.py"
        )
    if kind.__abstractmethods__:
        lacking = ", ".join(sorted(kind.__abstractmethods__))
        raise UsageError(f"study '{name}' ({place}) lacks {lacking}: define it in the class")
    return kind
