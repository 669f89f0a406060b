"""Laws of the semantic distance, and the names of the spaces in which it is measured."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from methods.encoder import Encoder
from methods.semantics import answer_distance, cosine_distance
from tasks.errors import UsageError

VECTORS = st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


@given(VECTORS, VECTORS)
def test_distances_are_symmetric_and_between_0_and_2(first, second):
    there, back = float(cosine_distance(first, second)), float(cosine_distance(second, first))
    assert there == back
    assert 0.0 <= there <= 2.0
    assert float(cosine_distance(first, first)) == 0.0


def test_opposite_and_orthogonal_vectors_are_2_and_1_apart():
    x = torch.tensor([0.0, 3.0], dtype=torch.float64)
    assert float(cosine_distance(x, -2 * x)) == 2.0
    assert float(cosine_distance(x, torch.tensor([5.0, 0.0], dtype=torch.float64))) == 1.0


def test_the_nearest_target_counts_and_nothing_said_is_1():
    table = torch.eye(4)
    assert answer_distance(table, [1], [[0], [1], [2]]) == 0.0
    assert answer_distance(table, [1, 2], [[2, 1]]) == 0.0
    assert answer_distance(table, [3], [[0], [1]]) == 1.0
    assert answer_distance(table, [], [[0]]) == 1.0


@pytest.mark.parametrize(
    ("name", "space"), [("input_embedding", None), ("last_hidden", 12), ("layer0", 0)]
)
def test_encoders_name_a_space(name, space):
    Encoder(name).check()
    assert Encoder(name).space(12) == space


def test_an_unknown_encoder_or_layer_is_one_line():
    with pytest.raises(UsageError, match=r"encoder=last_hiden: .* did you mean last_hidden"):
        Encoder("last_hiden").check()
    with pytest.raises(UsageError, match="encoder=layer13: the model has layer0 to layer12"):
        Encoder("layer13").space(12)
