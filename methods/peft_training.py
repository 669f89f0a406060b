"""What some PEFT types need from a training loop that computes its own loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def update_ranks(model: nn.Module, step: int) -> None:
    """Reallocate ranks after optimizer step `step`, before its gradients are cleared.

    AdaLoRA (arXiv 2303.10512) and AdaMSS score directions by weight times gradient.
    """
    tuner: Any = getattr(model, "base_model", None)
    if hasattr(tuner, "update_and_allocate"):
        tuner.update_and_allocate(step)


def keeps_more_than_weights(model: nn.Module) -> bool:
    """Return whether a PEFT type keeps more between steps than its trained weights.

    AdaLoRA and AdaMSS average scores of directions, MonteCLoRA keeps samples that it has drawn.
    """
    configs: Any = getattr(model, "peft_config", {})
    draws = any(getattr(config, "monteclora_config", None) for config in configs.values())
    return draws or hasattr(getattr(model, "base_model", None), "update_and_allocate")


def penalty(model: nn.Module) -> Tensor | None:
    """Return the penalty that the PEFT type adds to the loss, or None.

    It is AdaLoRA's orthogonality term, which PEFT adds only when the forward pass gets labels, or
    a term of KaSA or MonteCLoRA, which PEFT leaves to the caller.
    """
    tuner: Any = getattr(model, "base_model", None)
    names = ("_get_kasa_loss", "_get_monteclora_loss")
    terms = [getattr(tuner, name)() for name in names if hasattr(tuner, name)]
    terms = [term for term in (*terms, _orthogonality(model)) if not isinstance(term, float)]
    return sum(terms) if terms else None


def _orthogonality(model: nn.Module) -> Tensor | float:
    """Return AdaLoRA's weight times the mean of ||A A^T - I||_F and ||B^T B - I||_F over layers."""
    import torch

    configs: Any = getattr(model, "peft_config", {})
    weight = getattr(configs.get("default"), "orth_reg_weight", 0.0)
    if not weight:
        return 0.0
    distances = []
    for name, parameter in model.named_parameters():
        if ".lora_A." in name or ".lora_B." in name:
            gram = parameter @ parameter.T if ".lora_A." in name else parameter.T @ parameter
            identity = torch.eye(len(gram), device=gram.device, dtype=gram.dtype)
            distances.append(torch.linalg.matrix_norm(gram - identity))
    result: Tensor = weight * torch.stack(distances).mean()
    return result
