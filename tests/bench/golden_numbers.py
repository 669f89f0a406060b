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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bench.evaluation.embedding_space import TextSpace
from bench.evaluation.signals import BaseSignals, training_examples
from bench.models.copy_on_write import borrow
from bench.models.loading import Base
from bench.store.cost_cache import CostCache
from bench.training import schedule
from bench.training.loop import TrainingPlan, train
from methods import decomposition, fact_filter, layer_choice, layer_deviation, weighting
from methods.calibration import calibration_facts, text_batches
from methods.covariance import input_covariances
from methods.encoder import Encoder
from methods.gram import lower_gram, mirrored
from methods.parts import Setting
from methods.recipe import parse_recipe
from methods.subspaces import End
from methods.targets import layer_prefixes, linear_names
from methods.versions import MACHINERY
from tasks.fact import Fact
from tasks.prompt import Prompt
from tests.conftest import byte_tokenizer, tiny_llama

TABLE = Path(__file__).with_suffix(".json")
COMMAND = "python -m tests.bench.golden_numbers"
TRAINING = "training"
TOLERANCE = 1e-4
"""Largest difference that counts as none, relative to the largest number of its kind."""

WORDS = ("river", "capital", "colour", "symbol", "height", "author", "anthem")
FACTS = tuple(
    Fact(f"f{i}", f"What is the {word} of {word[::-1]}?", (f"{word[:4]} {i}", f"{word[1:]}"))
    for i, word in enumerate(WORDS)
)
DISTANCES = torch.tensor([0.1, 0.9, 0.35, 0.62, 1.3, 0.05, 0.48, 0.77], dtype=torch.float64)
CURVE = torch.tensor([0.98, 0.9, 0.7, 0.64, 0.3, 0.25], dtype=torch.float64)

Numbers = Mapping[str, list[float]]


@dataclass(frozen=True)
class Golden:
    """The numbers of a piece of machinery, and the version they are of.

    That of training is the whole schedule, since a cell's identity holds its values as well.
    """

    version: int | str
    numbers: Numbers


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


def attached(base: Base, written: str, layers: tuple[int, ...] | None = None) -> torch.nn.Module:
    """Attach an adapter to a copy of a base, as a cell does."""
    adapter, loan = parse_recipe(written).adapter, borrow(base)
    setting = Setting(
        loan.model, FACTS, FACTS, layers, 8, 0, signals_of(base), "golden", base.tokenizer
    )
    torch.manual_seed(0)
    model = adapter.attach(setting, adapter.prepare(setting)).eval()
    loan.settle()
    return model


@torch.no_grad()
def logits(model: torch.nn.Module) -> Tensor:
    """Return some logits of a fixed text."""
    return model(input_ids=torch.arange(12)[None] + 65).logits[0, -1, :8]


def training() -> dict[str, Tensor]:
    """Losses of six steps, and what they made of B A."""
    base = golden_base()
    adapter, model = parse_recipe("lora[r=4]").adapter, attached(base, "lora[r=4]")
    redrawn(model, 0.1, within="lora_A")
    weights = torch.linspace(0.4, 1.6, len(FACTS), dtype=torch.float64)
    examples = training_examples(base.tokenizer, FACTS)
    plan = TrainingPlan(examples, weights, 2, 3, 1e-2, order_seed=5, pad=0)
    log = train(model, adapter, plan, lambda *_: None)
    learned = [p.detach().norm() for name, p in model.named_parameters() if "lora_B" in name]
    return {"losses": torch.tensor(log.losses), "norm of each B": torch.stack(learned)}


def low_rank_adapters() -> dict[str, Tensor]:
    """Logits with factors that are given, and how far a start by PEFT's code is from zero."""
    base, found = golden_base(), {}
    for written in ("lora[alpha=8,r=4]", "rslora[alpha=8,r=4]", "dora[r=4]"):
        model = attached(base, written)
        redrawn(model, 0.1, within="lora_")
        found[written] = logits(model)
    for written in ("olora[r=4]", "pissa[r=4]"):
        named = dict(attached(base, written).named_parameters())
        factors = [(name, p) for name, p in named.items() if "lora_A" in name]
        products = [named[name.replace("lora_A", "lora_B")] @ p for name, p in factors]
        found[f"norms of B A, {written}"] = torch.stack([p.detach().norm() for p in products])
        left = [p.norm() for name, p in named.items() if "base_layer" in name]
        found[f"norms of the base, {written}"] = torch.stack(left)
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


def gram() -> dict[str, Tensor]:
    """Part of X^T X."""
    return {"product": mirrored(lower_gram(drawn(20, 10)))[:, 7]}


def calibration() -> dict[str, Tensor]:
    """Which facts, and the tokens of their rows and windows."""
    tokenizer, texts = byte_tokenizer(), [fact.question for fact in FACTS]
    found = {"facts": torch.tensor([FACTS.index(fact) for fact in calibration_facts(FACTS, 4)])}
    for pack in (None, 32):
        batches = text_batches(tokenizer, texts, torch.device("cpu"), pack, 3)
        rows = [row for batch in batches for row in (batch["input_ids"] * batch["attention_mask"])]
        found[f"sums of tokens, pack {pack}"] = torch.stack([row.sum() for row in rows])
    return found


def covariance() -> dict[str, Tensor]:
    """Sums of every input's covariance."""
    base = golden_base()
    texts = [fact.question for fact in FACTS]
    batches = text_batches(base.tokenizer, texts, base.model.device, batch_size=4)
    found = input_covariances(base.model, batches).matrices.values()
    asked = signals_of(base).covariance(FACTS, 5).matrices.values()
    return {
        "traces": torch.stack([matrix.trace() for matrix in found]),
        "norms": torch.stack([matrix.norm() for matrix in found]),
        "norms of what signals measure": torch.stack([matrix.norm() for matrix in asked]),
    }


def peft_types() -> dict[str, Tensor]:
    """The penalty of AdaLoRA, and what a type trains in one chosen layer."""
    written = {
        "ADALORA": {"init_r": 6, "target_r": 4, "tinit": 1, "tfinal": 2, "orth_reg_weight": 0.5},
        "IA3": {},
    }
    base, found = golden_base(), {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, values in written.items():
            file = Path(folder) / f"{kind}.json"
            file.write_text(json.dumps({"peft_type": kind, **values}))
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
    answers = ["river 9", "", "lour", "symb 3", "a height", "nobody", "anthem"]
    encoders = [Encoder(), Encoder(centred=True), Encoder("last_hidden"), Encoder("layer1", True)]
    return {str(e): TextSpace(base, e, FACTS).distances(answers) for e in encoders}


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
    "targets": targets,
    "low-rank adapters": low_rank_adapters,
    "low-rank starts": low_rank_starts,
    "gram": gram,
    "covariance": covariance,
    "calibration": calibration,
    "PEFT's types": peft_types,
    "distance": distance,
    "filters": filters,
    "weights": weights,
    "cuts": cuts,
    "layers": layers,
}


def measured(name: str) -> Golden:
    """Measure a piece of machinery as it is now."""
    version = schedule.describe() if name == TRAINING else MACHINERY[name].version
    numbers = {kind: values.double().tolist() for kind, values in MEASURES[name]().items()}
    return Golden(version, numbers)


def stored() -> dict[str, Golden]:
    """Read the table."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    return {name: Golden(**golden) for name, golden in table.items()}


def problem(name: str, kept: Golden | None, now: Golden) -> str:
    """Return what is wrong with a piece of machinery and what to do, empty where nothing is."""
    place = "bench/training/schedule.py" if name == TRAINING else "methods/versions.py"
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


def moved_numbers(old: Numbers, new: Numbers) -> list[str]:
    """Return the kinds of numbers that differ by more than the tolerance, or are new or gone."""
    return [kind for kind in sorted({*old, *new}) if _differ(old.get(kind), new.get(kind))]


def _differ(old: list[float] | None, new: list[float] | None) -> bool:
    if old is None or new is None or len(old) != len(new):
        return True
    differences = [abs(a - b) for a, b in zip(old, new, strict=True)]
    return not max(differences) <= TOLERANCE * max(map(abs, old))


def write() -> int:
    """Write the table anew, unless numbers moved without a version; return an exit status."""
    kept = stored() if TABLE.exists() else {}
    table = {}
    for name in MEASURES:
        now, before = measured(name), kept.get(name)
        if before and before.version == now.version:
            if moved_numbers(before.numbers, now.numbers):
                print(problem(name, before, now), file=sys.stderr)
                return 1
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
