"""Find the model below an adapter: the only place that knows how PEFT wraps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def unwrap(model: nn.Module) -> Any:
    """Return the model that an adapter wraps, or the model itself without an adapter.

    Modules that the adapter changed stay changed; only the wrapper around them is removed.
    """
    wrapped: Any = model
    return wrapped.get_base_model() if hasattr(model, "get_base_model") else wrapped
