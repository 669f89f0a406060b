"""When a shortcut's logits count as the plain path's."""

import pytest
import torch

from bench.inference.equivalence import logits_agree


@pytest.mark.parametrize(
    ("dtype", "scale", "difference", "agree"),
    [
        (torch.float32, 1.0, 9e-4, True),
        (torch.float32, 1.0, 2e-3, False),
        (torch.float32, 10.0, 9e-3, True),
        (torch.float32, 0.1, 9e-4, True),
        (torch.bfloat16, 1.0, 0.2, True),
        (torch.bfloat16, 1.0, 0.5, False),
    ],
)
def test_logits_agree_up_to_the_order_of_sums(dtype, scale, difference, agree):
    expected = torch.tensor([[-scale, 0.25 * scale]], dtype=dtype)
    found = expected + torch.tensor([[0.0, difference]], dtype=dtype)
    assert logits_agree(found, expected) == agree


def test_what_is_not_a_number_never_agrees():
    expected = torch.zeros(2)
    assert not logits_agree(torch.tensor([0.0, float("nan")]), expected)
