"""CorDA and PiSSA on layers of the embedded model, where conditioning is what it is in practice."""

import pytest
import torch

from methods.decomposition import End, corda_factors, damped_covariance, principal_factors
from methods.lora_family import ILL_CONDITIONED
from methods.targets import linear_layers, weight_of

pytestmark = pytest.mark.integration

LAYERS = (0, 15, 29)
RANK = 16


@pytest.fixture(scope="module")
def covariances(embedded_base):
    from methods.calibration import text_batches
    from methods.covariance import input_covariances
    from tasks.base import TASKS, DataAccess
    from tasks.prompt import question_text, target_text

    facts = TASKS["elements"]().load(DataAccess())[::4][:96]
    texts = [question_text(fact.question) + target_text(fact.target) for fact in facts]
    model = embedded_base.model
    return input_covariances(model, text_batches(embedded_base.tokenizer, texts, model.device))


def relative(found, exact):
    return float((found.double() - exact).norm() / exact.norm())


def test_corda_equals_a_float64_svd_where_it_is_determined(embedded_base, covariances):
    worse = {}
    for name, linear in linear_layers(embedded_base.model, LAYERS):
        W, C = weight_of(linear).double(), damped_covariance(covariances[name])
        U, S, _ = torch.linalg.svd(W @ C, full_matrices=False)
        for end, chosen in [(End.LARGEST, U[:, :RANK]), (End.SMALLEST, U[:, -RANK:])]:
            found = corda_factors(weight_of(linear), C, RANK, 1.0, end)
            error = relative(found.B @ found.A, chosen @ chosen.T @ W)
            condition = float(S[0] / S[-1])
            if condition >= ILL_CONDITIONED:
                worse[name, end.value] = (condition, error)
            else:
                assert error < 1e-5, (name, end, condition)
    print(f"\n{len(worse)} with cond(W C) >= 1e7 (condition, error):")
    for key, values in worse.items():
        print(f"  {key}: {values[0]:.1e}, {values[1]:.1e}")


def test_pissa_equals_an_exact_svd(embedded_base):
    for name, linear in linear_layers(embedded_base.model, LAYERS):
        U, S, Vh = torch.linalg.svd(weight_of(linear).double(), full_matrices=False)
        found = principal_factors(weight_of(linear), RANK, 1.0)
        piece = (U[:, :RANK] * S[:RANK]) @ Vh[:RANK]
        assert relative(found.B @ found.A, piece) < 1e-4, name
        assert relative(found.singular_values, S[:RANK]) < 1e-4, name
