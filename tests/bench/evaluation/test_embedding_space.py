"""Distances between answers in every space of the two-layer model."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from bench.evaluation import embedding_space
from bench.evaluation.embedding_space import CONTEXT, AnswerSpace, TextSpace
from bench.evaluation.signals import BaseSignals
from bench.store.cost_cache import CostCache
from methods.encoder import Encoder
from tasks.errors import UsageError
from tasks.fact import Fact
from tasks.prompt import BUILT_IN, Prompt

FACTS = tuple(
    Fact(str(i), "Where?", answers)
    for i, answers in enumerate([("in bed", "asleep"), ("here",), ("on the table",), ("up",)])
)
ANSWERS = ["asleep", "there", "", "down the very long road"]
ENCODERS = [
    Encoder(name, centred)
    for name in ("input_embedding", "last_hidden", "layer0", "layer1")
    for centred in (False, True)
]


@pytest.mark.parametrize("encoder", ENCODERS, ids=str)
def test_in_every_space_a_target_is_0_and_nothing_is_1(tiny_base, encoder):
    space = TextSpace(tiny_base, encoder, FACTS)
    found = space.distances(ANSWERS)
    assert (found.dtype, found[0], found[2]) == (torch.float64, 0.0, 1.0)
    assert bool(((found >= 0) & (found <= 2)).all())
    assert found[1] > 1e-4
    assert torch.equal(space.distances([f.target for f in FACTS]), torch.zeros(4).double())


@pytest.mark.parametrize("encoder", ENCODERS, ids=str)
def test_distances_are_symmetric_and_do_not_depend_on_the_batch(tiny_base, encoder):
    pair = [Fact("a", "?", ("on the table",)), Fact("b", "?", ("me",))]
    there, back = TextSpace(tiny_base, encoder, pair).distances(["me", "on the table"])
    assert float(there) == pytest.approx(float(back), abs=1e-12)
    if not encoder.centred:
        alone = TextSpace(tiny_base, encoder, pair[:1]).distances(["me"])
        assert float(alone[0]) == pytest.approx(float(there), abs=1e-6)


def test_the_default_space_is_the_rows_own_bit_for_bit(tiny_base):
    rows = AnswerSpace(tiny_base.tokenizer, tiny_base.model.get_input_embeddings().weight)
    found = TextSpace(tiny_base, Encoder(), FACTS).distances(ANSWERS)
    expected = [rows.distance(a, f.answers) for a, f in zip(ANSWERS, FACTS, strict=True)]
    assert found.tolist() == expected


def test_hidden_states_are_the_models_own_after_the_context(tiny_base):
    ids = [tiny_base.tokenizer(CONTEXT + f" {text}")["input_ids"] for text in ("up", "in bed")]
    start = len(tiny_base.tokenizer(CONTEXT)["input_ids"])
    states = [
        tiny_base.model(torch.tensor([row]), output_hidden_states=True).hidden_states for row in ids
    ]
    for name, space in (("layer1", 1), ("last_hidden", 2), ("layer2", 2)):
        first, second = (row[space][0, start:].double().mean(0) for row in states)
        expected = 1 - torch.cosine_similarity(first, second, dim=0)
        [found] = TextSpace(tiny_base, Encoder(name), [FACTS[3]]).distances(["in bed"])
        assert float(found) == pytest.approx(float(expected), abs=1e-6)


def test_centred_subtracts_the_mean_row_of_the_vocabulary(tiny_base):
    table = tiny_base.model.get_input_embeddings().weight.double()
    table = table - table.mean(0)
    first, second = (
        table[tiny_base.tokenizer(text)["input_ids"]].mean(0) for text in (" up", " here")
    )
    [found] = TextSpace(tiny_base, Encoder(centred=True), [FACTS[3]]).distances(["here"])
    expected = 1 - torch.cosine_similarity(first, second, dim=0)
    assert float(found) == pytest.approx(float(expected), abs=1e-9)


def test_the_centre_of_a_large_table_takes_the_memory_of_some_of_its_rows(monkeypatch):
    monkeypatch.setattr(embedding_space, "ROWS_AT_ONCE", 64)
    table = torch.randn(1000, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    with _Largest() as seen:
        mean = embedding_space._mean_row(table)
    assert torch.allclose(mean, table.double().mean(0), rtol=1e-12, atol=0)
    assert mean.dtype == torch.float64
    assert seen.bytes <= 64 * 8 * 8


def test_vectors_and_centre_of_a_table_on_a_gpu_are_on_the_cpu():
    with FakeTensorMode():  # only follows devices and shapes, without a GPU
        table = torch.empty(100, 8, device="cuda:0", dtype=torch.bfloat16)
        vectors = embedding_space._mean_embeddings(table, {"a": [1, 2], "b": [3], "c": [4, 5]})
        apart = [vector - embedding_space._mean_row(table) for vector in vectors.values()]
    assert [vector.device.type for vector in apart] == ["cpu"] * 3


class _Largest(TorchDispatchMode):
    """Notes the most bytes of a tensor that is made; views count as what they show."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and not func.is_view:
            self.bytes = max(self.bytes, made.nbytes)
        return made


def test_a_layer_that_the_model_lacks_is_one_line(tiny_base):
    with pytest.raises(UsageError, match="layer3: the model has layer0 to layer2"):
        TextSpace(tiny_base, Encoder("layer3"), FACTS)


def test_a_model_in_training_is_measured_by_its_own_answers(tiny_base, monkeypatch):
    signals = BaseSignals(tiny_base, FACTS, Prompt(BUILT_IN), CostCache())
    asked = []

    def answer(model, tokenizer, prompts, budget, form):
        asked.extend(prompts)
        return ["here" for _ in prompts]

    monkeypatch.setattr("bench.evaluation.signals.greedy_answers", answer)
    now = signals.now(tiny_base.model, torch.tensor([False, True, True, False]))
    assert len(asked) == 2, "only what is trained is asked"
    assert now.answers == ("", "here", "here", "")
    assert now.known.tolist() == [False, True, False, False]
    assert now.distance.tolist()[:2] == [1.0, 0.0]
    assert torch.equal(now.distance, now.distance_in(Encoder()))
    assert 0 < now.distance_in(Encoder("layer1"))[2] <= 2


def test_a_space_that_holds_texts_gives_the_same_distances_without_its_table(tiny_base):
    table = tiny_base.model.get_input_embeddings().weight
    space = AnswerSpace(tiny_base.tokenizer, table)
    held = space.holding([*ANSWERS, *(text for fact in FACTS for text in fact.answers)])
    looked_up = []
    held._table = type(
        "Table", (), {"__getitem__": lambda _, ids: looked_up.append(ids) or table[ids]}
    )()
    for answer in ANSWERS:
        for fact in FACTS:
            assert held.distance(answer, fact.answers) == space.distance(answer, fact.answers)
        assert held.movement(answer, "here") == space.movement(answer, "here")
    assert not looked_up
    assert held.distance("elsewhere", ("here",)) == space.distance("elsewhere", ("here",))
    assert looked_up
    assert space.holding([""]).distance("", ("here",)) == 1.0
