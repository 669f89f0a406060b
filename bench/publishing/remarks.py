"""What somebody who uses an adapter should know of it besides its numbers."""

from __future__ import annotations

from collections.abc import Iterator

from bench.publishing.bases import BaseName
from bench.publishing.saved import SavedAdapter
from bench.report.leaderboard.rebuilt import rebuilt_parts
from bench.report.leaderboard.recipe_notes import told
from bench.report.statistics.intervals import DECIDING_SEEDS
from bench.store.records import CellRecord
from methods.parts import ADAPTERS, PLACEMENTS, STRATEGIES, Part
from methods.recipe import parse_recipe
from tasks.errors import UsageError
from tasks.notation import parse_part, split_outside_brackets


def remarks(saved: SavedAdapter, base: BaseName, seeds: int) -> list[str]:
    """Return a sentence for each thing to know, in plain text.

    Args:
        saved: The adapter.
        base: Its base.
        seeds: How many seeds of its setting were run.
    """
    return [*_of_the_base(saved, base), *_of_the_method(saved), *_of_the_numbers(saved, seeds)]


def _of_the_base(saved: SavedAdapter, base: BaseName) -> Iterator[str]:
    spec = saved.spec
    if base.kind == "embedded" and base.repository:
        yield (
            f"It was trained on {base.name}, a quantised copy of {base.repository} "
            f"({spec.model_revision}) whose weights were expanded to {spec.dtype}."
        )
        if not saved.holds_all_weights:
            yield "On the original it runs too, but its numbers were not measured there."
    if base.kind == "folder":
        yield f"Its base was read from a local folder, of revision {spec.model_revision}."
    if spec.quantisation.value != "none":
        yield f"The base was quantised to {spec.quantisation} while it was trained and measured."


def _of_the_method(saved: SavedAdapter) -> Iterator[str]:
    record = saved.record
    if record.identity is False:
        yield "It was not the base at the start: the untrained adapter changes outputs already."
    rank, doubled = _ranks(saved)
    if doubled:
        yield (
            f"Its rank is {2 * rank}, twice that of the recipe: the start was cut out of the base, "
            "and is taken out of the adapter again so that it fits the untouched base."
        )
    if record.spec.after:
        yield f"It holds two steps: it was trained {record.spec.after.told}."
    for name in rebuilt_parts(record.spec.method):
        yield (f"The formula of {name} is rebuilt from abstracts and reviews, not the paper's own.")
    yield from (f"{choice.label}: {choice.text}" for choice in told(record))


def _of_the_numbers(saved: SavedAdapter, seeds: int) -> Iterator[str]:
    if saved.spec.tuned:
        yield (
            f"Its setting was tuned over {', '.join(saved.spec.tuned.over) or 'nothing'} on other "
            "facts than the ones measured here."
        )
    if seeds < DECIDING_SEEDS:
        many = "one seed was" if seeds == 1 else f"{seeds} seeds were"
        yield f"Only {many} run, too few to decide between methods."
    yield from saved.record.warnings


def _ranks(saved: SavedAdapter) -> tuple[int, bool]:
    """Return the rank of the recipe, and whether the saved adapter has twice that."""
    try:
        rank = getattr(parse_recipe(saved.spec.method).adapter, "r", 0)
    except UsageError:  # of a part or a file that is not here
        return 0, False
    stored = saved.config.get("r")
    return rank, bool(rank) and stored == 2 * rank and saved.spec.after is None


def certainties(record: CellRecord) -> list[str]:
    """Return each part of a recipe with how far its formula is the paper's own."""
    return [_certainty(name) for name in _names(record)]


def _names(record: CellRecord) -> list[str]:
    parts = split_outside_brackets(record.spec.method, "+")
    return [parse_part(part)[0] for part in parts]


def _certainty(name: str) -> str:
    part: type[Part] | None = next(
        (parts[name] for parts in (ADAPTERS, PLACEMENTS, STRATEGIES) if name in parts), None
    )
    if part is None:
        return f"{name} (not installed here)"
    paper = f", [arXiv {part.paper}](https://arxiv.org/abs/{part.paper})" if part.paper else ""
    return f"{name}: {part.certainty}{paper}"


def papers(record: CellRecord) -> list[str]:
    """Return the arXiv ids of the parts of a recipe."""
    found = []
    for name in _names(record):
        for parts in (ADAPTERS, PLACEMENTS, STRATEGIES):
            if name in parts and parts[name].paper:
                found.append(parts[name].paper)
    return found
