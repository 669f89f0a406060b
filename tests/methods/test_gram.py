"""Half of a symmetric product is the whole of it."""

import pytest
import torch

from methods.gram import add_lower, lower_gram, mirror


@pytest.mark.parametrize("columns", [1, 3, 4, 7, 64, 101])
def test_the_lower_half_mirrored_is_the_product(columns):
    draws = torch.Generator().manual_seed(0)
    X, Y = (torch.randn(9, columns, generator=draws, dtype=torch.float64) for _ in range(2))
    assert torch.allclose(mirror(lower_gram(X)), X.T @ X)
    total = lower_gram(X)
    add_lower(total, Y)
    assert torch.allclose(mirror(total), X.T @ X + Y.T @ Y)
