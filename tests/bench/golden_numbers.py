"""Numbers of everything that parts share, on a two-layer model of fixed weights.

`golden_numbers.json` holds them with the version of each piece. They tell a formula that has
changed from one that was reworded, so they move by far more than 1e-4 when a formula does and by
far less from one CPU to the next: no ill-conditioned matrix, nothing that a tie decides, weights
from torch's generator by name and not from the initialisation of transformers or PEFT.

After a version was raised: `python -m tests.bench.golden_numbers`
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from transformers import PreTrainedModel

from bench.cell.attach import attach
from bench.config.types import Schedule
from bench.evaluation import version
from bench.evaluation.embedding_space import TextSpace
from bench.evaluation.responses import respond_untrained
from bench.evaluation.signals import BaseSignals
from bench.forgetting import drift
from bench.inference.contexts import Contexts
from bench.inference.generation import answer_budget, greedy_answers, sampled_answers
from bench.models.copy_on_write import borrow
from bench.models.loading import Base
from bench.store.cost_cache import CostCache
from bench.store.knowledge import KnowledgeCategory
from bench.training import schedule
from bench.training.loop import data_order_seed, train
from methods import (
    compactness,
    decomposition,
    fact_filter,
    layer_choice,
    layer_deviation,
    occlusion,
    projections,
    rank_allocation,
    weighting,
)
from methods.calibration import calibration_facts, text_batches
from methods.covariance import input_covariances
from methods.encoder import Encoded, Encoder
from methods.explained_variance import explained_ranks, main_directions
from methods.gram import lower_gram, mirror
from methods.parts import Setting
from methods.recipe import parse_recipe
from methods.strategies.reweight import Reweight
from methods.subspaces import End
from methods.targets import layer_prefixes, linear_names
from methods.versions import MACHINERY
from tasks.context import Context
from tasks.fact import Fact, hash_fraction
from tasks.prompt import BUILT_IN, Prompt
from tasks.scoring import exact_match, normalise, token_f1
from tests.bench.report_cells import make_spec
from tests.conftest import byte_tokenizer, tiny_llama

TABLE = Path(__file__).with_suffix(".json")
COMMAND = "python -m tests.bench.golden_numbers"
TRAINING = "training"
EVALUATED = "evaluation"
TOLERANCE = 1e-4
"""Largest difference that counts as none, relative to the number itself, or to a tenth of the
largest of its kind where that is more: a number near 0 is what large ones left over."""

WORDS = ("river", "capital", "colour", "symbol", "height", "author", "anthem")
FACTS = tuple(
    Fact(f"f{i}", f"What is the {word} of {word[::-1]}?", (f"{word[:4]} {i}", f"{word[1:]}"))
    for i, word in enumerate(WORDS)
)
DISTANCES = torch.tensor([0.1, 0.9, 0.35, 0.62, 1.3, 0.05, 0.48, 0.77], dtype=torch.float64)
CURVE = torch.tensor([0.98, 0.9, 0.7, 0.64, 0.3, 0.25], dtype=torch.float64)

SCORED = (
    ("The Eiffel Tower!", ("eiffel tower", "tower")),
    ("an apple  a day", ("apple day",)),
    ("+", ("+", "plus")),
    ("Straße", ("STRASSE",)),
    ("red, green", ("green red blue", "red")),
    ("blue blue", ("blue",)),
    ("", ("nothing",)),
    ("Paris is it", ("London", "Paris")),
)
"""Answers, each with those that are accepted."""

LONG = "x" * 99

Numbers = Mapping[str, list[float]]


@dataclass(frozen=True)
class Golden:
    """The numbers of a piece of machinery, and the version they are of.

    That of training is the whole schedule, since a cell's identity holds its values as well.
    """

    version: int | str
    numbers: Numbers


def number_of(text: object) -> float:
    """Return a number in [0, 1) that is another one for every other text."""
    return hash_fraction("golden", str(text))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Draw normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def redrawn(model: torch.nn.Module, scale: float, within: str = "") -> None:
    """Give a model's parameters fixed values: those of vectors about 1, of matrices about 0."""
    for seed, (name, parameter) in enumerate(sorted(model.named_parameters())):
        if within in name:
            values = drawn(*parameter.shape, seed=seed) * scale
            parameter.data = values + 1 if parameter.dim() == 1 else values


def golden_base() -> Base:
    """Return a two-layer model whose weights do not depend on any library's initialisation."""
    model = tiny_llama(tied=False)
    redrawn(model, 0.1)
    return Base("golden", "0", model, byte_tokenizer())


def signals_of(base: Base) -> BaseSignals:
    """Return what a base knows of the facts."""
    return BaseSignals(base, FACTS, Prompt(()), CostCache())


def setting_on(
    base: Base, model: PreTrainedModel, layers: tuple[int, ...] | None = None
) -> Setting:
    """Return a cell in which an adapter calibrates on other facts, more than fit in a window."""
    other = tuple(replace(fact, question=fact.question.upper()) for fact in FACTS)
    signals = signals_of(base)
    return Setting(model, FACTS, other * 6, layers, 8, 0, signals, "golden", base.tokenizer)


def attached(base: Base, written: str, layers: tuple[int, ...] | None = None) -> torch.nn.Module:
    """Attach an adapter to a copy of a base, as a cell does."""
    adapter, loan = parse_recipe(written).adapter, borrow(base)
    setting = setting_on(base, loan.model, layers)
    torch.manual_seed(0)
    model = adapter.attach(setting, adapter.prepare(setting)).eval()
    loan.settle()
    return model


@torch.no_grad()
def logits(model: torch.nn.Module) -> Tensor:
    """Return some logits of a fixed text."""
    return model(input_ids=torch.arange(12)[None] + 65).logits[0, -1, :8]


def training() -> dict[str, Tensor]:
    """The schedule, orders of data, and three trainings, from their recipes to what was learned."""
    cosine, constant = (schedule.rate_factor(shape, 0.1, 40) for shape in Schedule)
    seeds = [data_order_seed(seed, task) / 2**31 for seed, task in ((0, "a"), (1, "a"), (0, "b"))]
    found = {
        "schedule": torch.tensor([cosine(step) for step in range(40)], dtype=torch.float64),
        "constant": torch.tensor([constant(step) for step in range(40)], dtype=torch.float64),
        "orders": torch.tensor(seeds, dtype=torch.float64),
    }
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            "weights anew": ("lora[r=4]+reweight[refresh=1,tau=0.1]", 1),
            "drawn by seed, in two parts": ("lora[r=4]+random_filter+random_cut", 2),
            "loss and steps of its own": (f"peft[path={adalora(folder)}]", 1),
        }
        for kind, (written, parts) in runs.items():
            trained = {f"{name}, {kind}": found for name, found in run(written, parts).items()}
            found |= trained
    shaped = run("lora[r=4]", 1, schedule="constant", warmup=0.5, accumulation=2)
    found |= {f"{name}, accumulated": values for name, values in shaped.items()}
    return found


def run(written: str, micro_batches: int, **shape: Any) -> dict[str, Tensor]:
    """Train a recipe for three epochs, as a cell does."""
    base, recipe = golden_base(), parse_recipe(written)
    spec = make_spec(method="golden", epochs=3, batch_size=3, learning_rate=1e-2, seed=3, **shape)
    ready = attach(base, signals_of(base), recipe, spec, FACTS)
    redrawn(ready.model, 0.1, within="lora_A")
    plan = replace(ready.plan, micro_batches=micro_batches)
    log = train(ready.model, recipe.adapter, plan, lambda *_: None)
    named = ready.model.named_parameters()
    learned = [p.detach().norm() for name, p in named if "lora_B" in name and p.requires_grad]
    return {
        "weights": ready.decisions.weights,
        "losses": torch.tensor(log.losses),
        "accuracies": torch.tensor(log.accuracies).flatten(),
        "norm of each B": torch.stack(learned),
    }


def adalora(folder: str) -> Path:
    """Write the configuration of an adapter that adds to the loss and acts after each step."""
    file = Path(folder) / "ADALORA.json"
    values = {"init_r": 6, "target_r": 4, "tinit": 1, "tfinal": 2, "orth_reg_weight": 0.5}
    file.write_text(json.dumps({"peft_type": "ADALORA", **values}))
    return file


def evaluation() -> dict[str, Tensor]:
    """Scores of answers, answers and likelihoods with demonstrations, and drift."""
    base, prompt = golden_base(), Prompt(BUILT_IN)
    budgets = [
        answer_budget(base.tokenizer, targets) for targets in (["four"], ["four", LONG], [LONG])
    ]
    prompts = [prompt.few_shot(fact.question) for fact in FACTS]
    how = {"model": base.model, "tokenizer": base.tokenizer, "prompts": prompts}
    said = greedy_answers(**how, budget=budgets[1])
    drawn_answers = sampled_answers(**how, samples=2, temperature=0.5, budget=budgets[1])
    # Every third fact is known, every third may be: its answer is one that is sampled. A long one
    # makes the budget of all the same, whatever the model says.
    own = [(said[i], drawn_answers[i][0], "unknown")[i % 3] for i in range(len(FACTS))]
    facts = tuple(
        replace(fact, answers=(answer or "?", LONG), old_answers=("old one",))
        for fact, answer in zip(FACTS, own, strict=True)
    )
    signals = BaseSignals(base, facts, prompt, CostCache())
    found = respond_untrained(base.model, Contexts(base.tokenizer, prompt), facts)
    words = [*KnowledgeCategory]
    return {
        "normalised": torch.tensor([number_of(normalise(text)) for text, _ in SCORED]),
        "exact match": torch.tensor([exact_match(*pair) for pair in SCORED]),
        "F1": torch.tensor([token_f1(*pair) for pair in SCORED]),
        "budgets": torch.tensor(budgets),
        "answers": torch.tensor([number_of(answer) for answer in said]),
        "sampled": torch.tensor([number_of(answers) for answers in drawn_answers]),
        "likelihoods": torch.tensor(found.nll),
        "likelihoods of old answers": torch.tensor(found.old_nll),
        "plain": torch.tensor([number_of(answer) for answer in found.answers[Context.PLAIN]]),
        "known": signals.known,
        "knowledge": torch.tensor([words.index(known) for known in signals.knowledge]),
        **drift_of(base),
    }


def drift_of(base: Base) -> dict[str, Tensor]:
    """Drift on given texts, since another CPU may sample others, and how they are asked for."""
    tuned, asked = golden_base().model, []
    redrawn(tuned, 0.11)

    def given(starts: Tensor, **how: object) -> Tensor:
        how["attention_mask"] = 1
        asked.extend([torch.initial_seed(), starts.tolist(), *sorted(how.items())])
        return torch.cat([starts, torch.arange(drift.TOKENS).repeat(len(starts), 1) + 60], dim=1)

    with patch.object(base.model, "generate", given):
        scores = drift.Drift(len(drift.STARTS)).score(base, tuned)
    asked.append(drift.SEQUENCES)
    return {
        "drift": torch.tensor(scores.items),
        "texts of drift": torch.tensor([number_of(one) for one in asked]),
    }


def low_rank_adapters() -> dict[str, Tensor]:
    """Logits with factors that are given, and how far a start by PEFT's code is from zero."""
    base, found = golden_base(), {}
    for written in ("lora[alpha=8,r=4]", "rslora[alpha=8,r=4]", "dora[r=4]"):
        model = attached(base, written)
        redrawn(model, 0.1, within="lora_")
        found[written] = logits(model)
    for written in ("olora[r=4]", "pissa[r=4]"):
        for layers in (None, (1,)):
            model = attached(base, written, layers)
            found[f"at the start, {written}, {layers}"] = logits(model)
            redrawn(model, 0.1, within="lora_")
            found[f"with other factors, {written}, {layers}"] = logits(model)
    return found


def spread(rows: int, columns: int) -> Tensor:
    """Return a matrix whose singular values lie 7 % apart, from 1 down."""
    U, V = (torch.linalg.qr(drawn(n, columns, seed=n).double())[0] for n in (rows, columns))
    return ((U * 0.93 ** torch.arange(columns)) @ V.T).float()


def low_rank_starts() -> dict[str, Tensor]:
    """B A of each start: larger than a whole decomposition is used for."""
    weight, inputs = spread(96, 72), spread(200, 72)
    damped = decomposition.damped_covariance(inputs.T @ inputs)
    C = damped + damped.diagonal().mean() * torch.eye(72)  # well-conditioned, unlike those of texts
    starts = {
        "principal": decomposition.principal_factors(weight, 6, 2.0),
        "minor": decomposition.minor_factors(weight, 6, 2.0),
        "ipm": decomposition.corda_factors(weight, C, 6, 2.0, End.LARGEST),
        "kpm": decomposition.corda_factors(weight, C, 6, 2.0, End.SMALLEST),
        "reference": decomposition.reference_corda_factors(weight, C, 6, 2.0, End.LARGEST),
    }
    found = {f"B A, {name}": (start.B @ start.A)[0, :6] for name, start in starts.items()}
    found |= {f"values, {name}": start.singular_values for name, start in starts.items()}
    return found | {"damped": damped.diagonal()[:6]}


def starts_by_projectors() -> dict[str, Tensor]:
    """B A of what each side cuts out, and what directions leave of a matrix."""
    weight, inputs = spread(96, 72), spread(200, 72).double()
    C = inputs.T @ inputs
    C += C.diagonal().mean() * torch.eye(72)  # as for starts: well-conditioned
    wide, outputs = weight.T.contiguous(), spread(200, 96).double()
    D = outputs.T @ outputs + torch.eye(96)
    least = projections.eigenvectors(C, 6, End.SMALLEST)
    apart = C - 2 * least @ least.T
    kept, A, B = projections.main_directions(weight, 5), drawn(4, 72), drawn(96, 4, seed=2)
    kept.project(A, B)
    cuts = {
        "left, largest": (weight, projections.output_directions(weight, C, 6, End.LARGEST)),
        "left, of a difference": (
            weight,
            projections.output_directions(weight, apart, 6, End.LARGEST),
        ),
        "left, smallest": (wide, projections.output_directions(wide, D, 6, End.SMALLEST)),
    }
    starts = {name: projections.left_factors(*cut, 2.0) for name, cut in cuts.items()}
    starts["right, smallest"] = projections.right_factors(weight, least, 2.0)
    found = {f"B A, {name}": (start.B @ start.A)[0, :6] for name, start in starts.items()}
    none = projections.null_factors(weight, least, 2.0)
    return found | {
        "nothing cut out": torch.cat([(none.A.T @ none.A)[0, :6], none.B[0]]),
        "outside": torch.cat([A[:, 0], B[0]]),
    }


def ranks_by_layer() -> dict[str, Tensor]:
    """What a spectrum costs, and which rank layers of different sizes get."""
    spectra = [(0.5 + n / 10) ** torch.arange(12).double() for n in range(4)]
    pieces = {
        f"{n}, {end}": rank_allocation.Piece(
            torch.zeros(20 + 6 * n, 8),
            torch.zeros(8, 30),
            costs=compactness.direction_costs(s, 20 + 6 * n, 8, end),
        )
        for n, s in enumerate(spectra)
        for end in End
    }
    ranks = rank_allocation.allocated_ranks(pieces, 4, 2)
    return {
        "looseness": torch.tensor([compactness.looseness(s, 20, 4) for s in spectra]),
        "costs": torch.tensor([cost for piece in pieces.values() for cost in piece.costs]),
        "ranks": torch.tensor(list(ranks.values())),
    }


def gram() -> dict[str, Tensor]:
    """Part of X^T X."""
    return {"product": mirror(lower_gram(drawn(20, 10)))[:, 7]}


def calibration() -> dict[str, Tensor]:
    """Which facts, and the tokens of their rows and windows."""
    tokenizer, texts = byte_tokenizer(), [fact.question for fact in FACTS]
    found = {"facts": torch.tensor([FACTS.index(fact) for fact in calibration_facts(FACTS, 4)])}
    for pack in (None, 32):
        batches = text_batches(tokenizer, texts, torch.device("cpu"), pack, 3)
        found[f"sums of tokens, pack {pack}"] = sums_of_tokens(batches)
    base = golden_base()
    setting = setting_on(base, base.model)
    for source, pack, samples in (("task", None, 4), ("task", 16, None), ("knowledge", 2000, None)):
        batches = setting.calibration_batches(source, pack, samples)
        found[f"{source}, pack {pack}, samples {samples}"] = sums_of_tokens(batches)
    return found


def sums_of_tokens(batches: Iterable[dict[str, Tensor]]) -> Tensor:
    """Return a sum for each row that another order changes, small so that 1 more shows."""
    rows = [row for batch in batches for row in (batch["input_ids"] * batch["attention_mask"])]
    return torch.stack([(row * (torch.arange(len(row)) + 1)).sum() % 251 for row in rows])


def covariance() -> dict[str, Tensor]:
    """Sums of every input's covariance."""
    base = golden_base()
    texts = [fact.question for fact in FACTS]
    batches = list(text_batches(base.tokenizer, texts, base.model.device, batch_size=4))
    found = input_covariances(base.model, batches).matrices.values()
    plain = input_covariances(base.model, batches, scaled=False).matrices.values()
    asked = signals_of(base).covariance(FACTS, 5).matrices.values()
    packed = signals_of(base).covariance(FACTS, pack=40).matrices.values()
    return {
        "traces": torch.stack([matrix.trace() for matrix in found]),
        "norms": torch.stack([matrix.norm() for matrix in found]),
        "norms without scale": torch.stack([matrix.norm() for matrix in plain]),
        "norms of what signals measure": torch.stack([matrix.norm() for matrix in asked]),
        "norms of windows": torch.stack([matrix.norm() for matrix in packed]),
    }


def gradient() -> dict[str, Tensor]:
    """Norms of every weight's mean gradient, and B A of a start from them."""
    base = golden_base()
    found = signals_of(base).gradient(FACTS, 5).matrices.values()
    start = parse_recipe("lora_ga[r=2]").adapter.prepare(setting_on(base, borrow(base).model))
    return {
        "norms": torch.stack([matrix.norm() for matrix in found]),
        "norms of B A": torch.stack([(f.B @ f.A).norm() for f in start.factors.values()]),
    }


def explained_variance() -> dict[str, Tensor]:
    """How much directions of inputs explain, and the ranks that follow from it."""
    base = golden_base()
    batches = text_batches(base.tokenizer, [fact.question for fact in FACTS], base.model.device)
    measured = input_covariances(base.model, batches, scaled=False)
    keys = list(measured.matrices)
    shares = {key: main_directions(measured, key, 4).shares.tolist() for key in keys}
    ranks = explained_ranks(shares, dict.fromkeys(keys, 2), dict.fromkeys(keys, 4))
    explained = [share for row in shares.values() for share in row]
    return {"shares": torch.tensor(explained), "ranks": torch.tensor(list(ranks.values()))}


def peft_types() -> dict[str, Tensor]:
    """The penalty of AdaLoRA, and what a type trains in one chosen layer."""
    base, found = golden_base(), {}
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "IA3.json"
        other.write_text(json.dumps({"peft_type": "IA3"}))
        for file in (adalora(folder), other):
            kind = file.stem
            model = attached(base, f"peft[path={file}]", layers=(1,))
            trained = [p.numel() for p in model.parameters() if p.requires_grad]
            found[f"trained, {kind}"] = torch.tensor([len(trained), sum(trained)])
            if kind == "ADALORA":
                redrawn(model, 0.1, within="lora_")
                penalty = parse_recipe(f"peft[path={file}]").adapter.extra_loss(model)
                assert penalty is not None
                found["penalty"] = penalty.detach()[None]
    return found


def distance() -> dict[str, Tensor]:
    """Distances of fixed answers in every kind of space."""
    base = golden_base()
    answers = ["river 9", "capital", "lour", "symb 3", "a height", "nobody", "anthem"]
    encoders = [Encoder(), Encoder(centred=True), Encoder("last_hidden"), Encoder("layer1", True)]
    found = {str(e): TextSpace(base, e, FACTS).distances(answers) for e in encoders}
    signals, space = signals_of(base), signals_of(base).space
    pairs = [("river 9", "lour"), ("lour", "river 9"), ("a", "a"), ("b", "nobody")]
    targets = [fact.answers for fact in FACTS]
    nearest = [space.distance(*pair) for pair in zip(answers, targets, strict=True)]
    parts = (Encoded(), Encoded("layer1", centred=True))
    empty = [space.distance("", ["a"]), space.movement("", "a"), space.movement("a", "")]
    return found | {
        "to the nearest": torch.tensor(nearest),
        "movement": torch.tensor([space.movement(*pair) for pair in pairs]),
        "empty": torch.tensor([*empty, *TextSpace(base, encoders[0], FACTS).distances([""] * 7)]),
        **{f"as a part asks, {part}": part.distances(signals) for part in parts},
    }


def filters() -> dict[str, Tensor]:
    """Which facts are kept, and what decides it."""
    std, raw = (fact_filter.best_facts(DISTANCES, 0.3, 1.5, s) for s in ("std", "raw"))
    near, far = (fact_filter.without_side(DISTANCES, 5, side) for side in ("near", "far"))
    counts = [fact_filter.kept_count(n, 0.2) for n in (1, 8, 64)]
    return {
        "kept": torch.stack([std, raw, near, far]).flatten(),
        "counts": torch.tensor(counts),
        "z": fact_filter.standardised(DISTANCES, "std"),
    }


def weights() -> dict[str, Tensor]:
    """Weights of every shape and sign, bounds included."""
    found = {}
    for shape, sign in (("softmax", 1), ("softmax", -1), ("linear", 1)):
        logs = weighting.log_u(DISTANCES, shape, 0.15, 2.0, sign)
        found[f"{shape}, {sign}"] = weighting.clipped_to_mean_one(logs)
    for every in (1, 2, 3):
        part = Reweight(refresh=every)
        found[f"anew, {every}"] = torch.tensor([part.refreshed(epoch) for epoch in range(1, 9)])
    return found


def cuts() -> dict[str, Tensor]:
    """Deviations of the model's own states, and gains and cuts of a fixed curve."""
    signals, found = signals_of(golden_base()), {}
    for norm in ("final", "raw"):
        found[f"deviation, {norm}"] = signals.layer_deviation(norm).per_fact.flatten()
    for gain in ("drop", "ratio", "power"):
        found[f"gain, {gain}"] = layer_deviation.gains(CURVE, gain)
        found[f"cut, {gain}"] = torch.tensor([layer_deviation.cut_layer(CURVE, gain)])
    return found


def occluded() -> dict[str, Tensor]:
    """What the targets cost, and what each layer's feed-forward part is worth to them."""
    signals = signals_of(golden_base())
    rise = occlusion.occlusion(signals, samples=5)
    return {"losses": signals.target_losses(FACTS), "rise": rise}


def layers() -> dict[str, Tensor]:
    """Which layers are trained."""
    chosen = [layer_choice.layers_above(2, 6, 3), layer_choice.layers_between(2, 4, 6)]
    return {"chosen": torch.tensor(chosen).flatten()}


def targets() -> dict[str, Tensor]:
    """How many layers are linear, and how many parameters lie in the last one."""
    model = golden_base().model
    prefixes = layer_prefixes(model, (1,))
    inside = [p.numel() for name, p in model.named_parameters() if name.startswith(prefixes)]
    names = [len(linear_names(model, chosen)) for chosen in (None, (1,))]
    return {"counts": torch.tensor([*names, len(inside), sum(inside)])}


MEASURES: dict[str, Callable[[], dict[str, Tensor]]] = {
    TRAINING: training,
    EVALUATED: evaluation,
    "targets": targets,
    "low-rank adapters": low_rank_adapters,
    "low-rank starts": low_rank_starts,
    "gram": gram,
    "projections": starts_by_projectors,
    "ranks by layer": ranks_by_layer,
    "covariance": covariance,
    "gradient": gradient,
    "explained variance": explained_variance,
    "calibration": calibration,
    "PEFT's types": peft_types,
    "distance": distance,
    "filters": filters,
    "weights": weights,
    "cuts": cuts,
    "layers": layers,
    "occlusion": occluded,
}


PLACES = {TRAINING: "bench/training/schedule.py", EVALUATED: "bench/evaluation/version.py"}
"""Where the version is of what is not in `methods/versions.py`."""


def version_of(name: str) -> int | str:
    """Return the version that a piece of machinery has now."""
    if name == TRAINING:
        return schedule.describe()
    return version.EVALUATION if name == EVALUATED else MACHINERY[name].version


def measured(name: str) -> Golden:
    """Measure a piece of machinery as it is now."""
    numbers = {kind: values.double().tolist() for kind, values in MEASURES[name]().items()}
    return Golden(version_of(name), numbers)


def stored() -> dict[str, Golden]:
    """Read the table."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    return {name: Golden(**golden) for name, golden in table.items()}


def problem(name: str, kept: Golden | None, now: Golden) -> str:
    """Return what is wrong with a piece of machinery and what to do, empty where nothing is."""
    place = PLACES.get(name, "methods/versions.py")
    if kept and count_of(now.version) < count_of(kept.version):
        return f"{name} has version {now.version}, less than the table's {kept.version}: raise it"
    if kept is None or kept.version != now.version:
        old = f"version {kept.version}" if kept else "nothing"
        return f"{name} has version {now.version}, the table {old}: run {COMMAND}"
    if moved := moved_numbers(kept.numbers, now.numbers):
        return (
            f"numbers of {name} moved ({', '.join(moved)}) and its version did not. If that is "
            f"meant, raise its version in {place}, so that the cells that use it run again, and "
            f"run {COMMAND}"
        )
    return ""


def count_of(version: int | str) -> int:
    """Return the version as it is counted, without the values of a schedule."""
    return int(str(version).rpartition("=")[2])


def moved_numbers(old: Numbers, new: Numbers) -> list[str]:
    """Return the kinds of numbers that differ by more than the tolerance, or are new or gone."""
    return [kind for kind in sorted({*old, *new}) if _differ(old.get(kind), new.get(kind))]


def _differ(old: list[float] | None, new: list[float] | None) -> bool:
    if old is None or new is None or len(old) != len(new):
        return True
    least = 0.1 * max(map(abs, old))
    pairs = zip(old, new, strict=True)
    return not all(abs(a - b) <= TOLERANCE * max(abs(a), least) for a, b in pairs)


def write() -> int:
    """Write the table anew, unless numbers moved without a version; return an exit status."""
    kept = stored() if TABLE.exists() else {}
    table = {}
    for name in MEASURES:
        now, before = measured(name), kept.get(name)
        if (before and count_of(now.version) < count_of(before.version)) or (
            before and before.version == now.version and moved_numbers(before.numbers, now.numbers)
        ):
            print(problem(name, before, now), file=sys.stderr)
            return 1
        if before and before.version == now.version:
            now = before  # so that another CPU's rounding makes no difference to commit
        numbers = {kind: [float(f"{x:.9g}") for x in v] for kind, v in now.numbers.items()}
        table[name] = {"version": now.version, "numbers": numbers}
    in_lines = re.sub(
        r"\[[^]]*\]", lambda row: " ".join(row[0].split()), json.dumps(table, indent=1)
    )
    TABLE.write_text(in_lines + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(write())
