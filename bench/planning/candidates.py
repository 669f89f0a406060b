"""The candidates of each tuned method: every combination of the values to try.

All methods get the same values for what they share: the learning rate, run options, and parameters
of the same name. A method that lacks a tuned parameter has fewer candidates.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, replace
from itertools import product

from bench.config.options import RunOptions, validated
from bench.config.tune import Tune
from bench.planning.tuning import FIRST_TUNING_SEED, RATE, RUN_PARAMETERS
from methods.parts import ADAPTERS, PLACEMENTS, STRATEGIES
from methods.recipe import Recipe, parse_recipes, part_name
from tasks.errors import UsageError, nearest
from tasks.notation import canonical, format_value, parameters_of


@dataclass(frozen=True)
class Candidate:
    """One way to train a method.

    Attributes:
        recipe, learning_rate, epochs, batch_size: How it trains; without `epochs`, as often as the
            task says.
        values: Its value of everything that is tuned, as written; empty for an only candidate.
    """

    recipe: Recipe
    learning_rate: float
    epochs: int | None
    batch_size: int
    values: Mapping[str, str] = field(default_factory=dict, compare=False)

    def value(self, name: str) -> str:
        """Return its value of a run option or of a parameter of its recipe, as users write it."""
        if name == RATE:
            return f"{self.learning_rate:g}"
        if name in RUN_PARAMETERS:
            return str(getattr(self, name))
        part = next(part for part in self.recipe.parts if name in parameters_of(type(part)))
        return format_value(getattr(part, name))


@dataclass(frozen=True)
class Method:
    """A requested recipe and its candidates.

    Attributes:
        name: The recipe without its tuned parameters.
        candidates: At least one.
    """

    name: str
    candidates: tuple[Candidate, ...]

    @property
    def over(self) -> tuple[str, ...]:
        """What is tuned; empty if there is only one candidate."""
        return tuple(self.candidates[0].values)


def is_tuned(options: RunOptions) -> bool:
    """Return whether a run tunes anything."""
    return bool(options.tune) or len(options.lr or ()) > 1


def tuning_seeds_of(options: RunOptions) -> tuple[int, ...]:
    """Return the seeds that candidates are tried with; none if nothing is tuned.

    They are the same whatever is reported, so that more reporting seeds need no new tuning, and
    candidates that were tried earlier are still compared with the same seeds.

    Raises:
        UsageError: A reporting seed is one of them: what it reports would be what it was chosen by.
    """
    if not is_tuned(options):
        return ()
    seeds = tuple(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + options.tune_seeds))
    both = sorted(set(seeds).intersection(options.seeds))
    if both:
        raise UsageError(
            f"--seeds {both[0]}: seeds from {seeds[0]} to {seeds[-1]} try what is tuned and must "
            f"not report it; use seeds below {FIRST_TUNING_SEED}"
        )
    return seeds


def methods_of(options: RunOptions) -> tuple[Method, ...]:
    """Return the methods of a run with their candidates; one each if nothing is tuned.

    Raises:
        UsageError: A recipe is invalid, no method has a tuned name, a value has the wrong type,
            or a recipe sets what is tuned.
    """
    recipes = parse_recipes(options.methods)
    tunes = _tunes(options)
    parts = [part for recipe in recipes for part in recipe.parts]
    held = {name for part in parts for name in parameters_of(type(part))}
    for tune in tunes:
        if tune.name not in {*RUN_PARAMETERS, *held}:
            raise UsageError(f"--tune '{tune.name}': {_hint(tune.name, held)}")
    return tuple(_method(recipe, tunes, options) for recipe in recipes)


def _tunes(options: RunOptions) -> list[Tune]:
    """Return what is tuned, including learning rates; run options by the names of their fields."""
    tunes = []
    for tune in options.tune:
        name = tune.name.replace("-", "_")
        tunes.append(Tune(name=name, values=tune.values) if name in RUN_PARAMETERS else tune)
    if options.lr is None:
        return tunes
    if any(tune.name == RATE for tune in tunes):
        raise UsageError("learning rates are given by both --lr and --tune lr: keep one")
    if len(options.lr) == 1:
        return tunes
    return [Tune(name=RATE, values=tuple(map(repr, options.lr))), *tunes]


def _hint(name: str, held: Iterable[str]) -> str:
    owners = [
        part
        for registry in (ADAPTERS, PLACEMENTS, STRATEGIES)
        for part in registry.names()
        if name in parameters_of(registry[part])
    ]
    if owners:
        return f"no method of this grid has it; it is a parameter of {', '.join(owners)}"
    written = [name.replace("_", "-") for name in RUN_PARAMETERS]
    known = [*written, *sorted(held)]
    close = nearest(name, known)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
    return f"neither a run option that can be tuned nor a parameter of a method: {hint}"


def _method(recipe: Recipe, tunes: Sequence[Tune], options: RunOptions) -> Method:
    parameters = {name for part in recipe.parts for name in parameters_of(type(part))}
    own = [tune for tune in tunes if tune.name in {*RUN_PARAMETERS, *parameters}]
    within = {tune.name for tune in own} - set(RUN_PARAMETERS)
    _refuse_fixed(recipe, within)
    names = [tune.name for tune in own]
    chosen = [dict(zip(names, each, strict=True)) for each in product(*(t.values for t in own))]
    candidates = tuple(dict.fromkeys(_candidate(recipe, values, options) for values in chosen))
    if len(candidates) == 1:
        candidates = (replace(candidates[0], values={}),)
    name = "+".join(
        canonical(part, part_name(part), defaults=False, without=within) for part in recipe.parts
    )
    return Method(name, candidates)


def _candidate(recipe: Recipe, written: Mapping[str, str], options: RunOptions) -> Candidate:
    run = {name: written[name] for name in RUN_PARAMETERS if name in written}
    chosen = validated(RunOptions, {**options.model_dump(include=set(RUN_PARAMETERS)), **run})
    rest = {name: value for name, value in written.items() if name not in run}
    recipe = recipe.with_parameters(rest) if rest else recipe
    rate = chosen.lr[0] if chosen.lr else recipe.adapter.learning_rate
    candidate = Candidate(recipe, rate, chosen.epochs, chosen.batch_size)
    return replace(candidate, values={name: candidate.value(name) for name in written})


def _refuse_fixed(recipe: Recipe, tuned: Collection[str]) -> None:
    """Refuse to override what a recipe sets, except parameters that every recipe must set."""
    for part in recipe.parts:
        for name, (_, default) in parameters_of(type(part)).items():
            value = getattr(part, name)
            if name in tuned and default is not MISSING and value != default:
                raise UsageError(
                    f"'{recipe.name}' sets {name}={format_value(value)} and --tune {name} tries "
                    "other values: leave one out"
                )
