"""EVA starts from the right singular vectors of what its layers see, by plain SVD."""

from pathlib import Path

import pytest
import torch

from methods.adapters import eva
from methods.targets import linear_layers
from tasks.prompt import fact_text


def inputs_of_layers(base, facts):
    """Concatenate each layer's inputs `[tokens, d_in]` over facts, each run alone."""
    seen = {name: [] for name, _ in linear_layers(base.model)}
    handles = [
        module.register_forward_pre_hook(lambda _, args, name=name: seen[name].append(args[0][0]))
        for name, module in linear_layers(base.model)
    ]
    with torch.no_grad():
        for fact in facts:
            base.model(**base.tokenizer(fact_text(fact), return_tensors="pt"))
    for handle in handles:
        handle.remove()
    return {name: torch.cat(rows).double() for name, rows in seen.items()}


def test_it_starts_from_the_top_right_singular_vectors(cases, tiny_base):
    cell = cases.attach(tiny_base, eva.Eva(r=4))
    for name, X in inputs_of_layers(tiny_base, cases.facts).items():
        layer = cell.model.get_submodule(f"base_model.model.{name}")
        A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        _, S, Vh = torch.linalg.svd(X, full_matrices=False)
        assert (S[:4] / S[1:5]).min() > 1.001, "the vectors are determined"
        overlap = (A.double() @ Vh[:4].T).abs()
        assert torch.allclose(overlap, torch.eye(4).double(), atol=1e-3), name
        assert not B.any()


def test_chosen_layers_alone_get_a_start(cases, tiny_base):
    cell = cases.attach(tiny_base, eva.Eva(r=1), layers=(0,))
    assert set(cell.prepared) == {
        name for name, _ in linear_layers(tiny_base.model) if ".layers.0." in name
    }


def test_it_is_one_file_of_at_most_40_lines():
    lines = Path(eva.__file__).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 40


@pytest.mark.parametrize("r", [1, 16])
def test_its_rows_are_orthonormal(cases, tiny_base, r):
    cell = cases.attach(tiny_base, eva.Eva(r=r))
    for A in cell.prepared.values():
        assert torch.allclose(A @ A.T, torch.eye(r).double(), atol=1e-6)
