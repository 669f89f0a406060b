"""Matrices decomposed on a thread each."""

import pytest
import torch

from methods.side_by_side import side_by_side


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_order_threads_and_gradients(threads):
    weight = torch.ones(2, requires_grad=True)

    def found(item):
        return item, torch.get_num_threads(), (weight * item).requires_grad

    assert side_by_side(found, range(7)) == [(item, 1, False) for item in range(7)]
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()


def test_an_error_is_told_and_threads_are_given_back(threads):
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda item: 1 // item, [1, 0])
    assert torch.get_num_threads() == threads
