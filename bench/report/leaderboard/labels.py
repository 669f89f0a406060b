"""Names for settings that differ: only what sets them apart is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.planning.tuning import tuned_fields
from bench.store.records import CellSpec

# In the order in which people look for a difference.
_SETTINGS: tuple[tuple[str, Callable[[CellSpec], str]], ...] = (
    ("started", lambda spec: spec.started),
    ("learning_rate", lambda spec: f"lr {spec.learning_rate:g}"),
    ("epochs", lambda spec: f"{spec.epochs} epochs"),
    ("batch_size", lambda spec: f"batch {spec.batch_size}"),
    ("accumulation", lambda spec: _batches(spec.accumulation)),
    ("schedule", lambda spec: spec.schedule),
    ("warmup", lambda spec: f"warm-up {spec.warmup:g}"),
    ("train_prompt", lambda spec: f"trained on {spec.train_prompt.replace('_', '-')}"),
    ("first_setting", lambda spec: f"first step {spec.first_setting[:8]}" * bool(spec.after)),
    ("lessons", lambda spec: f"{spec.lessons} examples"),
    ("lessons_digest", lambda spec: f"examples {spec.lessons_digest[:8]}"),
)
_DATA: tuple[tuple[str, Callable[[CellSpec], str]], ...] = (
    ("fact_set", lambda spec: "tuned" if spec.fact_set else "not tuned"),
    ("facts", lambda spec: f"{spec.facts} facts"),
    ("precision", lambda spec: spec.precision),
    ("model_revision", lambda spec: f"revision {spec.model_revision[:8]}"),
    ("facts_digest", lambda spec: f"fact set {spec.facts_digest[:8]}"),
    ("prompt_digest", lambda spec: f"prompt {spec.prompt_digest[:8]}"),
    ("evaluation", lambda spec: f"evaluation {spec.evaluation}"),
    ("rescored", lambda spec: f"scoring {spec.rescored.digest[:8]}" if spec.rescored else ""),
)
_METHODS: tuple[tuple[str, Callable[[CellSpec], str]], ...] = (
    ("calibration_digest", lambda spec: f"calibration {spec.calibration_digest[:8] or 'none'}"),
    ("recipe", lambda spec: spec.recipe),
    ("source_digest", lambda spec: f"source {spec.source_digest[:8]}"),
)


def _batches(number: int) -> str:
    return f"{number} batch a step" if number == 1 else f"{number} batches a step"


def setting_labels(
    named: Sequence[tuple[str, CellSpec]], *, of_sections: bool = False
) -> list[str]:
    """Return one unique label per `(name, spec)`: the name, with details where names collide.

    Two cells of `lora` with different learning rates become `lora (lr 0.001)` and
    `lora (lr 0.0001)`; details that do not help to tell them apart are left out. What was tuned
    is named last, since it was not chosen by a person. The first step that a cell starts from is
    always said.

    Args:
        named: Names with a spec each.
        of_sections: Whether specs stand for sections, whose rows have settings of their own.
    """
    details = _DATA if of_sections else (*_SETTINGS, *_DATA, *_METHODS)
    rivals: dict[str, list[CellSpec]] = {}
    for name, spec in named:
        rivals.setdefault(name, []).append(spec)
    apart = {}
    for name, specs in rivals.items():
        tuned = {field for spec in specs for field in tuned_fields(spec)}
        fields = sorted((field for field, _ in details), key=lambda field: field in tuned)
        apart[name] = _telling_apart(specs, fields)
    labels = []
    for name, spec in named:
        told = {*apart[name], "started"}
        chosen = [said for field, text in details if field in told and (said := text(spec))]
        labels.append(f"{name} ({', '.join(chosen)})" if chosen else name)
    return labels


def _telling_apart(specs: Sequence[CellSpec], fields: Sequence[str]) -> list[str]:
    """Return the first fields that together give every spec its own combination of values."""
    chosen: list[str] = []
    if len(specs) == 1:
        return chosen
    groups = 1
    for field in fields:
        found = len({tuple(getattr(spec, f) for f in (*chosen, field)) for spec in specs})
        if found > groups:
            chosen, groups = [*chosen, field], found
    return chosen
